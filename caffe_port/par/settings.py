"""Every choice that the paper's networks leave open, as one frozen record with the values of the paper as defaults."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from caffe_port.errors import CaffeError
from caffe_port.par.resnet import BLOCKS, Norm

VARIANTS = ("baseline", "multitask", "mtms", "mtms_att")
LOSSES = ("original", "weighted")
STAGES = ("stage1", "joint")
SPLITS = {"rap": (33268, 8317), "peta": (9500, 7600)}
"""Pictures for training and test in each published split."""
LAMBDAS = {"stage1": (1.0, 1.5e-4, 0.0, 0.0), "joint": (1.0, 1.5e-4, 1.0, 1.5e-4)}
"""Equation 5 in section 3.2: attributes I, segmentation I, attributes II, segmentation II."""
BASE_LR = {"baseline": 1e-3, "multitask": 1e-4, "mtms": 1e-4, "mtms_att": 3e-4}
"""Section 4.3: 3e-4 for the proposed model, 1e-3 for the ResNet-50 baseline, 1e-4 for the model without attention.
The multi-task ablation is not named there; it has no attention, so it gets 1e-4."""


@dataclass(frozen=True)
class Settings:
    """What `caffe_port.par.network.generate` builds. "Paper" marks the paper's own values; everything else is ours."""

    dataset: str
    attributes: int
    """I in equation 1: 51 for RAP, 35 for PETA (paper)."""
    classes: int = 20
    """K in equation 3: Look-Into-Person's classes (paper)."""
    width: int = 64
    """Outputs of block 2a's first convolution; 64 is ResNet-50 (paper)."""
    stem: int | None = None
    """Outputs of conv1; None: as `width`. The thin ResNet-50 in circulation has width 32 behind a stem of 64."""
    strided: str = "branch2a"
    """The convolution of 3a and 4a that has the stride: Caffe's ResNet-50 branch2a (1x1), torchvision's branch2b
    (3x3)."""
    size: tuple[int, int] = (256, 128)
    """Input height and width. The paper names none; this is the common one for pedestrians."""
    variant: str = "mtms_att"
    """Table 1's rows: baseline, multitask, mtms, mtms_att."""
    loss: str = "weighted"
    """original (equation 1) or weighted (equation 2)."""
    split_ab: str = "2c"
    """Last block of ResBlock-A, which all branches of stage I share."""
    split_cd: str = "4c"
    """Last block of ResBlock-C, which both branches of stage II share."""
    batch: int = 8
    """Training batch (paper)."""
    test_batch: int | None = None
    """Test batch; None: as `batch`."""
    deploy_batch: int = 1
    data: str | None = None
    """Folder of the data set's LMDBs; None: data/<dataset>."""
    sources: str = "{data}/{split}_{kind}_lmdb"
    """An LMDB's path; split is train or test, kind is image, attr or seg."""
    rates: str = "{data}/positive_rates.txt"
    """The attributes' positive rates in the training split, for the weighted loss."""
    mean: tuple[float, ...] = (104.0, 117.0, 123.0)
    """Subtracted from blue, green, red: ImageNet's, which published ResNet-50 weights expect."""
    scale: float = 1.0
    """Multiplied afterwards; published ResNet-50 weights expect 1."""
    ignore_label: int | None = 255
    """Pixels and attributes with this label do not count in the losses; None: every label counts."""
    seg_lambda: float = 1.5e-4
    """Lambda of both segmentation losses (paper). They sum over pixels, so a smaller input wants a larger lambda."""
    prune_stage1: bool = False
    """Leave the whole of stage II out of stage-1 training instead of giving it lambda 0."""
    python_loss: bool = False
    """Write the weighted loss as a Python layer for a stock Caffe (prototxt/hmt/weighted_loss.py)."""
    bn_names: str = "res"
    """BatchNorm names: "res" (bn_res3a_par_branch1) or "published" (bn3a_par_branch1)."""
    bn_fraction: float | None = None
    """BatchNorm's moving_average_fraction; None: Caffe's 0.999, whose statistics average over about the last thousand
    iterations, so that a training of a few hundred is tested with statistics of weights long gone; 0.95 suits those."""
    base_lr: float | None = None
    """None: the paper's for the variant."""
    gamma: float = 0.8
    """"decreases 20%" (paper)."""
    step_epochs: float = 2000
    """Epochs between two decreases (paper, read literally)."""
    step_iterations: int | None = None
    """The same in iterations; given, it wins over step_epochs."""
    stage1_epochs: float = 30
    joint_epochs: float = 60
    stage1_iterations: int | None = None
    joint_iterations: int | None = None
    weight_decay: float = 0.0
    train_images: int = 0
    """Images in the training split; 0: known for rap and peta only."""
    test_images: int = 0
    seed: int = 1
    display: int = 20
    test_interval: int | None = None
    """Iterations between two tests; None: an epoch."""
    snapshot_interval: int | None = None
    """Iterations between two snapshots; None: five epochs."""
    folder: str | None = None
    """Where the files will lie, as the solvers name the net; None: prototxt/hmt/<dataset>/<variant>/<loss>."""
    runs: str = "runs"
    """Where snapshots go: <runs>/<dataset>_<variant>_<loss>_<stage>."""

    def __post_init__(self) -> None:
        def check(right: bool, message: str) -> None:
            if not right:
                raise CaffeError(f"par prototxt: {message}")

        check(self.variant in VARIANTS, f"variant '{self.variant}' is none of {', '.join(VARIANTS)}")
        check(self.loss in LOSSES, f"loss '{self.loss}' is none of {', '.join(LOSSES)}")
        check(self.strided in ("branch2a", "branch2b"), f"strided '{self.strided}' is neither branch2a nor branch2b")
        check(self.bn_names in ("res", "published"), f"bn_names '{self.bn_names}' is neither res nor published")
        for field in ("attributes", "classes", "width", "batch"):
            check(getattr(self, field) >= 1, f"{field} is {getattr(self, field)}; it must be at least 1")
        check(
            self.split_ab in BLOCKS[: BLOCKS.index("3d")],
            f"split_ab '{self.split_ab}' must be a block before 3d, so that stage I has something to branch",
        )
        check(
            self.split_cd in BLOCKS[BLOCKS.index("4a") : BLOCKS.index("4f")],
            f"split_cd '{self.split_cd}' must be one of 4a-4e, so that stage II has something to branch",
        )
        check(min(self.size) >= 16, f"size {self.size} is smaller than block 4f's stride of 16")
        check(
            not (self.weight_decay and self.two_stage and not self.prune_stage1),
            "weight_decay with lambda 0 would make Adam move stage II's weights towards 0 by base_lr in every "
            "iteration of stage 1 (their gradient is then the decay alone, which Adam normalises); use "
            "prune_stage1=True, or no decay",
        )
        check(not (self.python_loss and self.loss == "original"), "python_loss goes with loss='weighted'")

    # -- derived -----------------------------------------------------------------------------------------------------

    @property
    def norm(self) -> Norm:
        return Norm(self.bn_names, self.bn_fraction)

    @property
    def two_stage(self) -> bool:
        return self.variant in ("mtms", "mtms_att")

    @property
    def segmentation(self) -> bool:
        return self.variant != "baseline"

    @property
    def stages(self) -> tuple[str, ...]:
        """The trainings in order; one-stage variants have only the last."""
        return STAGES if self.two_stage else ("joint",)

    @property
    def images(self) -> tuple[int, int]:
        """Images for training and test."""
        known = SPLITS.get(self.dataset, (0, 0))
        train, test = self.train_images or known[0], self.test_images or known[1]
        if not train or not test:
            raise CaffeError(f"par prototxt: give train_images and test_images for dataset '{self.dataset}'")
        return train, test

    @property
    def data_folder(self) -> str:
        return self.data or f"data/{self.dataset}"

    @property
    def net_folder(self) -> str:
        return f"prototxt/hmt/{self.dataset}/{self.variant}/{self.loss}" if self.folder is None else self.folder

    @property
    def rates_path(self) -> str:
        return self.rates.format(data=self.data_folder)

    def source(self, kind: str, split: str) -> str:
        return self.sources.format(data=self.data_folder, kind=kind, split=split)

    def iterations(self, epochs: float) -> int:
        """Iterations of `batch` images in so many epochs."""
        return max(1, ceil(epochs * self.images[0] / self.batch))

    def max_iter(self, stage: str) -> int:
        given = {"stage1": self.stage1_iterations, "joint": self.joint_iterations}[stage]
        return given or self.iterations({"stage1": self.stage1_epochs, "joint": self.joint_epochs}[stage])

    def weights_of(self, task: str, number: int) -> dict[str, float]:
        """Lambda of head `number`'s task ("par" or "seg") in every training that computes it."""
        index = 2 * (number - 1) + (task == "seg")
        pruned = ("stage1",) if self.prune_stage1 and number == 2 else ()
        on = {stage: LAMBDAS[stage][index] for stage in self.stages if stage not in pruned}
        return {stage: self.seg_lambda if task == "seg" and value else value for stage, value in on.items()}

    @property
    def lambda_text(self) -> str:
        """The segmentation lambda as the files' comments write it."""
        return "1.5e-4" if self.seg_lambda == 1.5e-4 else f"{self.seg_lambda:g}"
