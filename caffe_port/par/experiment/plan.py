"""What an experiment trains: which networks, on which data, for how long, from which weights. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from caffe_port.errors import CaffeError
from caffe_port.par.settings import VARIANTS

TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    "table1": tuple((variant, "weighted") for variant in VARIANTS),
    "table2": (("mtms_att", "original"), ("mtms_att", "weighted")),
}
"""(variant, loss) of each training, in the order in which the tables need them."""

SHORT = 3000
"""Iterations below which BatchNorm's statistics follow faster (moving_average_fraction 0.95): Caffe's 0.999 averages
over about the last thousand iterations, among them weights long gone in a training of a few hundred."""


@dataclass(frozen=True)
class Job:
    """One training with its evaluation."""

    variant: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}_{self.loss}_seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """An experiment. Defaults are the paper's where it names a value."""

    dataset: str
    data: str
    """What `caffe-port par prepare` wrote."""
    seeds: tuple[int, ...] = (1,)
    stage1_epochs: float = 30
    """Of stage I alone, for the two-stage variants."""
    joint_epochs: float = 60
    """Of the joint training; one-stage variants train for the sum of both, so that every row sees as many pictures."""
    width: int = 64
    batch: int = 8
    base_lr: float | None = None
    """None: the paper's, by variant."""
    weights: tuple[str, ...] = ()
    """A caffemodel to start from; none: from scratch."""
    weight_map: str | None = None
    """weights/maps/*.yaml that brings `weights` into the branches; None: by name."""
    knobs: dict[str, Any] = field(default_factory=dict)
    """Further settings of the generator."""
    split: str = "test"
    split_number: int | None = None
    """Which of the data set's published splits the data are, to be named only."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise CaffeError(f"par experiment: seeds are {list(self.seeds)}; give each once and at least one")
        for name in ("stage1_epochs", "joint_epochs"):
            if getattr(self, name) <= 0:
                raise CaffeError(f"par experiment: {name} is {getattr(self, name)}; it must be above 0")

    def jobs(self, table: str) -> list[Job]:
        """Every training of the table, seed by seed, so that all rows exist early."""
        if table not in TABLES:
            raise CaffeError(f"par experiment: there is no '{table}'; there are {', '.join(TABLES)}")
        return [Job(variant, loss, seed) for seed in self.seeds for variant, loss in TABLES[table]]

    def settings(self, job: Job, prepared: dict[str, Any], folder: str) -> dict[str, Any]:
        """The generator's knobs for a job. `prepared`: attributes, classes, size and numbers of images of the data."""
        per_epoch = prepared["train_images"] / self.batch
        joint = self.joint_epochs if job.variant.startswith("mtms") else self.stage1_epochs + self.joint_epochs
        knobs = {
            **prepared, "variant": job.variant, "loss": job.loss, "seed": job.seed, "width": self.width,
            "batch": self.batch, "base_lr": self.base_lr, "data": self.data, "folder": folder,
            "stage1_epochs": self.stage1_epochs, "joint_epochs": joint, "prune_stage1": True, "test_batch": 32,
            "test_interval": 10**6, "snapshot_interval": max(1, round(per_epoch * max(1, joint / 4))),
        }  # fmt: skip
        if (self.stage1_epochs + self.joint_epochs) * per_epoch < SHORT:
            knobs["bn_fraction"] = 0.95
        return {**knobs, **self.knobs}
