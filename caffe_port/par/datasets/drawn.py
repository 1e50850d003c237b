"""The drawn pedestrians: pictures made by rule, with thirty attributes and Look-Into-Person's twenty classes.

Record i of seed s is a pure function of (s, i): nothing is stored and nothing downloaded. Who is drawn follows the
ancestral model of drawing/people.py; pose, clothes, place, occlusion and light are drawn independently of the labels
but for what shows them. Different seeds are different worlds; the splits of one seed are disjoint ranges of i.
"""

from __future__ import annotations

import numpy as np

from caffe_port.errors import DataError
from caffe_port.par.datasets.base import Dataset, Sample, Size
from caffe_port.par.drawing.draw import draw, person_of
from caffe_port.par.drawing.people import ATTRIBUTES, CLASSES


class Drawn(Dataset):
    """`size` is the (height, width) of pictures read without a size; each size is drawn anew, not resized."""

    def __init__(self, train: int = 2000, val: int = 0, test: int = 500, seed: int = 0, size: Size = (128, 64)) -> None:
        if min(train, val, test) < 0 or seed < 0:
            raise DataError("drawn: the numbers of pictures and the seed must not be negative")
        if size[0] < 16 or size[1] < 8:
            raise DataError(f"drawn: {size[0]} x {size[1]} (height x width) is too small for a person; from 16 x 8 on")
        total = train + val + test
        ranges = {"train": (0, train), "val": (train, train + val), "test": (train + val, total)}
        labels = np.zeros((total, len(ATTRIBUTES)), np.uint8)
        for index in range(total):
            labels[index] = person_of(seed, index).vector
        super().__init__(
            name="drawn",
            attributes=list(ATTRIBUTES),
            classes=list(CLASSES),
            keys=[f"s{seed}_{index:06d}" for index in range(total)],
            labels=labels,
            splits={name: np.arange(a, b) for name, (a, b) in ranges.items() if b > a},
        )
        self.seed, self.size = seed, size

    def read(self, index: int, size: Size | None = None) -> Sample:
        picture, segmentation, attributes = draw(self.seed, index, size or self.size)
        return Sample(self.keys[index], picture, attributes, segmentation)
