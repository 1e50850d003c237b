"""The body parser's choices. The paper says: "a self-trained ResNet-101 model", trained on Look-Into-Person; all else
is ours, chosen as in DeepLab-v2, on which that data set's own benchmark builds."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from caffe_port.errors import CaffeError
from caffe_port.par.resnet import Norm

IMAGES = {"lip": (30462, 10000)}
"""Pictures for training and test (its validation set) that Look-Into-Person has."""


@dataclass(frozen=True)
class ParserSettings:
    """What `caffe_port.par.parsing.network.generate` builds."""

    dataset: str = "lip"
    classes: int = 20
    blocks: tuple[int, int, int, int] = (3, 4, 23, 3)
    """Residual blocks in stages 2-5: ResNet-101's (paper); (3, 4, 6, 3) is ResNet-50."""
    width: int = 64
    """Outputs of block 2a's first convolution."""
    stem: int | None = None
    """Outputs of conv1; None: as `width`."""
    size: tuple[int, int] = (384, 192)
    """Input height and width."""
    output_stride: int = 8
    """Input pixels per step of the last maps: 8, 16 or 32. Stages that would go beyond it are dilated instead."""
    aspp: tuple[int, ...] = (6, 12, 18, 24)
    """Dilations of the parallel 3x3 convolutions whose sum are the scores; empty: one 1x1 convolution."""
    batch: int = 8
    test_batch: int | None = None
    deploy_batch: int = 1
    data: str | None = None
    """Folder of the data set's LMDBs; None: data/<dataset>."""
    mean: tuple[float, ...] = (104.0, 117.0, 123.0)
    scale: float = 1.0
    ignore_label: int = 255
    bn_fraction: float | None = None
    """BatchNorm's moving_average_fraction; None: Caffe's 0.999; 0.95 suits trainings of a few hundred iterations."""
    solver: str = "SGD"
    """SGD (momentum 0.9) or Adam, which suits a short training from scratch."""
    base_lr: float | None = None
    """None: 2.5e-4 for SGD (from pre-trained weights), 2e-3 for Adam."""
    power: float = 0.9
    """Of the rate's polynomial decay to 0."""
    weight_decay: float | None = None
    """None: 5e-4 for SGD, 0 for Adam."""
    epochs: float = 30
    iterations: int | None = None
    """Given, it wins over `epochs`."""
    train_images: int = 0
    test_images: int = 0
    seed: int = 1
    display: int = 20
    test_interval: int | None = None
    """Iterations between two tests; None: an epoch."""
    snapshot_interval: int | None = None
    """Iterations between two snapshots; None: five epochs."""
    folder: str = "prototxt/parsing/resnet101"
    runs: str = "runs"

    def __post_init__(self) -> None:
        def check(right: bool, message: str) -> None:
            if not right:
                raise CaffeError(f"par parser: {message}")

        check(
            len(self.blocks) == 4 and min(self.blocks) >= 1, f"blocks are {self.blocks}; give four numbers of 1 or more"
        )
        check(self.output_stride in (8, 16, 32), f"output_stride is {self.output_stride}; it may be 8, 16 or 32")
        check(min(self.size) >= 16, f"size {self.size} is too small; 16 pixels are the least")
        check(self.solver in ("SGD", "Adam"), f"solver '{self.solver}' is neither SGD nor Adam")
        for field in ("classes", "width", "batch"):
            check(getattr(self, field) >= 1, f"{field} is {getattr(self, field)}; it must be at least 1")

    @property
    def norm(self) -> Norm:
        """The published names, so that a published ResNet-101 caffemodel initialises the net by name."""
        return Norm("published", self.bn_fraction)

    @property
    def data_folder(self) -> str:
        return self.data or f"data/{self.dataset}"

    def source(self, kind: str, split: str) -> str:
        return f"{self.data_folder}/{split}_{kind}_lmdb"

    @property
    def images(self) -> tuple[int, int]:
        known = IMAGES.get(self.dataset, (0, 0))
        train, test = self.train_images or known[0], self.test_images or known[1]
        if not train or not test:
            raise CaffeError(f"par parser: give train_images and test_images for dataset '{self.dataset}'")
        return train, test

    @property
    def epoch(self) -> int:
        return max(1, ceil(self.images[0] / self.batch))

    @property
    def max_iter(self) -> int:
        return self.iterations or max(1, ceil(self.epochs * self.images[0] / self.batch))

    def stage(self, number: int) -> tuple[int, int]:
        """Stride and dilation of stage 2, 3, 4 or 5: a stride that the output stride forbids becomes dilation of this
        stage and all behind it.

        >>> [ParserSettings(output_stride=8).stage(n) for n in (2, 3, 4, 5)]
        [(1, 1), (2, 1), (1, 2), (1, 4)]
        """
        reached = 4 * 2 ** (number - 2)
        return (2 if number > 2 and reached <= self.output_stride else 1), max(1, reached // self.output_stride)

    @property
    def layers(self) -> int:
        """The depth as ResNets count it: convolutions of the trunk and the classifier."""
        return 3 * sum(self.blocks) + 2
