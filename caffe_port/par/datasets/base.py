"""The one form in which every reader gives its data set.

A data set is a list of records, numbered from 0, named by keys, and divided into splits. Labels are known without
opening any picture; a picture is read when its sample is asked for.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from caffe_port.errors import DataError
from caffe_port.par.drawing import people

LIP_CLASSES = people.CLASSES
IGNORE = 255  # in an attribute vector: not known; in a segmentation: not known at this pixel

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Sample:
    """One record. `image` is uint8 (H, W, 3) RGB, `attributes` uint8 (I,) of 0, 1 and IGNORE, `segmentation` uint8
    (H, W) of class numbers and IGNORE, or None where the data set has none."""

    key: str
    image: np.ndarray
    attributes: np.ndarray
    segmentation: np.ndarray | None = None

    def resized(self, size: Size) -> Sample:
        """The sample at (height, width): the picture averaged or interpolated, the labels by nearest neighbour. The
        aspect is not kept, as in the paper, which works on boxes cut around people."""
        if self.image.shape[:2] == tuple(size):
            return self
        wide = (size[1], size[0])
        # Pillow widens the filter by the scale when it shrinks, so that BILINEAR averages the whole source area.
        image = np.asarray(Image.fromarray(self.image).resize(wide, Image.Resampling.BILINEAR))
        labels = self.segmentation
        if labels is not None:
            labels = np.asarray(Image.fromarray(labels).resize(wide, Image.Resampling.NEAREST))
        return replace(self, image=image, segmentation=labels)


@dataclass
class Dataset(ABC):
    """`labels` is uint8 (records, attributes); `splits` gives each split's record numbers; `notes` says in words what
    was left out or decided while reading."""

    name: str
    attributes: list[str]
    classes: list[str]
    keys: list[str]
    labels: np.ndarray
    splits: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # of the reader, where they change what a sample shows

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.keys), len(self.attributes)):
            raise DataError(
                f"{self.name}: labels are {self.labels.shape[0]} x {self.labels.shape[1]}, but there are "
                f"{len(self.keys)} records and {len(self.attributes)} attributes"
            )
        for what, given in (("attributes", self.attributes), ("classes", self.classes), ("records", self.keys)):
            if twice := [name for name, times in Counter(given).items() if times > 1]:
                raise DataError(f"{self.name}: two {what} are called '{twice[0]}'; their names must differ")

    def __len__(self) -> int:
        return len(self.keys)

    def indices(self, split: str) -> np.ndarray:
        if split not in self.splits:
            raise DataError(f"{self.name} has no split '{split}'; it has {', '.join(self.splits)}")
        return self.splits[split]

    @abstractmethod
    def read(self, index: int, size: Size | None = None) -> Sample:
        """Record `index`, at its own size or at `size`."""

    def samples(self, split: str, size: Size | None = None) -> Iterator[Sample]:
        for index in self.indices(split).tolist():
            yield self.read(index, size)

    def positive_rates(self, split: str = "train") -> np.ndarray:
        """float64 (attributes,): the share of positives among the known labels of the split (w_i of equation 2)."""
        return positive_rates(self.labels[self.indices(split)])


def positive_rates(labels: np.ndarray) -> np.ndarray:
    """Share of 1 among the entries of each column that are not IGNORE; NaN for a column without any."""
    known = (labels != IGNORE).sum(0)
    with np.errstate(invalid="ignore"):
        return (labels == 1).sum(0) / np.where(known > 0, known, np.nan)


Missing = Literal["error", "skip"]


@dataclass
class FileDataset(Dataset):
    """A data set whose pictures are files: `files[i]` belongs to record i."""

    files: list[Path] = field(default_factory=list)

    def read(self, index: int, size: Size | None = None) -> Sample:
        sample = Sample(self.keys[index], self.image(index), self.labels[index], self.segmentation(index))
        if sample.segmentation is not None and sample.segmentation.shape != sample.image.shape[:2]:
            raise DataError(
                f"{self.name}: '{sample.key}': the picture is {_by(sample.image)} and its segmentation "
                f"{_by(sample.segmentation)} (height x width); they must have one size"
            )
        return sample if size is None else sample.resized(size)

    def image(self, index: int) -> np.ndarray:
        return read_image(self.files[index], f"{self.name}: '{self.keys[index]}'")

    def segmentation(self, index: int) -> np.ndarray | None:
        return None


def _by(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]}"


def read_image(path: Path, what: str) -> np.ndarray:
    """uint8 (H, W, 3) RGB; raises DataError for a file that is missing or not a picture."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{what}: picture {path} is missing") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{what}: picture {path} cannot be read: {error}") from error


def find_images(
    folder: Path, stems: Sequence[str], suffixes: Sequence[str] = (".png", ".jpg", ".jpeg")
) -> list[Path | None]:
    """For each stem its file in the folder, None where there is none; the folder is listed once."""
    try:
        present = set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"the folder of pictures {folder} is missing") from None
    out: list[Path | None] = []
    for stem in stems:
        names = (stem + suffix for suffix in suffixes)
        out.append(next((folder / name for name in names if name in present), None))
    return out


def without_missing(
    name: str, folder: Path, stems: Sequence[str], files: Sequence[Path | None], splits: dict[str, np.ndarray],
    missing: Missing,
) -> tuple[dict[str, np.ndarray], list[str]]:  # fmt: skip
    """The splits less the records without a picture, and a note; with missing="error" such a record that a split uses
    is a DataError instead. A record that no split uses may lack its picture."""
    lacking = np.array([f is None for f in files], bool)
    used = np.unique(np.concatenate([*splits.values(), np.zeros(0, np.int64)])).astype(np.int64)
    gone = used[lacking[used]]
    if not len(gone):
        return splits, []
    first = ", ".join(stems[i] for i in gone[:3])
    said = f"{len(gone)} of {len(used)} pictures are missing in {folder} (first: {first})"
    if missing == "error":
        raise DataError(f"{name}: {said}; complete the folder, or leave them out by --option missing=skip")
    return {k: v[~lacking[v]] for k, v in splits.items()}, [f"{said}; left out"]
