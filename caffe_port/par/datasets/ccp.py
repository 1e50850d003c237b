"""Clothing Co-Parsing (Yang, Luo, Lin: CVPR 2014): photographs of people with pixel labels of 59 tags.

`photos/0001.jpg`; `annotations/pixel-level/0001.mat` (`groundtruth`, h x w of tag numbers) for 1,004 of them;
`annotations/image-level/1005.mat` (`tags`, the numbers of the tags) for the other 1,094; `label_list.mat` (names, the
position is the number; 0 is "null"). Attributes are the tags that at least `min_rate` (1/20, as the paper) of the
training pictures with pixel labels show. A tag that nearly all of them show (over `max_rate`; "skin", 1003 of 1004) is
left out too: there is nothing to learn, and equation 2 would weigh its rare negatives by hundreds.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from caffe_port.errors import DataError
from caffe_port.par.datasets import matlab
from caffe_port.par.datasets.base import (
    IGNORE,
    LIP_CLASSES,
    FileDataset,
    Missing,
    Sample,
    Size,
    find_images,
    without_missing,
)
from caffe_port.par.datasets.ccp_classes import to_lip

TRAIN_SHARE = 0.8


class Ccp(FileDataset):
    """`classes="lip"` gives Look-Into-Person's 20 classes, so that one network and one parser serve every data set
    (see ccp_classes.py for what that decides); `"ccp"` gives the 59 tags as annotated. `weak` adds the pictures that
    only have image-level tags to the training split, their segmentation all IGNORE; the test split, the attributes
    and the division of the others stay as they are without it. `crop` cuts each picture around the labelled person, as
    the boxes of PETA and RAP are cut (pictures without pixel labels stay whole)."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        classes: Literal["lip", "ccp"] = "lip",
        weak: bool = False,
        crop: bool = False,
        seed: int = 0,
        min_rate: float = 1 / 20,
        max_rate: float = 0.99,
        missing: Missing = "error",
    ) -> None:
        if classes not in ("lip", "ccp"):
            raise DataError(f"ccp: classes is '{classes}'; it may be 'lip' or 'ccp'")
        folder = Path(root)
        listed = folder / "label_list.mat"
        self.tags = matlab.names(listed, "label_list", matlab.load(listed, "label_list"))
        self.mapped, self.crop = classes == "lip", crop
        self._maps = folder / "annotations" / "pixel-level"
        pixel = _stems(self._maps)
        weakly = _stems(folder / "annotations" / "image-level") if weak else []
        stems = pixel + [s for s in weakly if s not in set(pixel)]
        self._strong = len(pixel)

        present = np.zeros((len(stems), len(self.tags)), np.uint8)
        for i, stem in enumerate(stems):
            shown = np.unique(self._truth(stem)) if i < len(pixel) else self._image_tags(folder, stem)
            present[i, shown] = 1
        train = np.array([_share(seed, stem) < TRAIN_SHARE for stem in stems], bool)
        train[len(pixel) :] = True
        if not train[: len(pixel)].any():
            raise DataError(f"ccp: none of the {len(pixel)} pictures with pixel labels is in the training split")
        rates = present[: len(pixel)][train[: len(pixel)]].mean(0)
        chosen = [t for t in range(1, len(self.tags)) if min_rate <= rates[t] <= max_rate]

        images = folder / "photos"
        files = find_images(images, stems, (".jpg", ".jpeg", ".png"))
        splits = {"train": np.flatnonzero(train), "test": np.flatnonzero(~train)}
        splits, notes = without_missing("ccp", images, stems, files, splits, missing)
        common = [self.tags[t] for t in range(1, len(self.tags)) if rates[t] > max_rate]
        if common:
            said = f"tags left out because more than {max_rate:.0%} of the training pictures have them"
            notes.append(f"{said}: {', '.join(common)}")
        super().__init__(
            name="ccp",
            attributes=[self.tags[t] for t in chosen],
            classes=list(LIP_CLASSES) if self.mapped else list(self.tags),
            keys=stems,
            labels=present[:, chosen],
            splits=splits,
            notes=notes,
            options={"classes": classes, "crop": crop},
            files=[f or images / f"{stem}.jpg" for f, stem in zip(files, stems, strict=True)],
        )

    def _truth(self, stem: str) -> np.ndarray:
        path = self._maps / f"{stem}.mat"
        labels = matlab.load(path, "groundtruth")
        if labels.ndim != 2 or labels.dtype.kind not in "uif" or not _within(labels, len(self.tags)):
            raise DataError(
                f"{path}: groundtruth is {labels.dtype} {labels.shape} with values from "
                f"{f'{labels.min()} to {labels.max()}' if labels.size else 'none'}; expected a map of numbers below "
                f"{len(self.tags)}"
            )
        return labels.astype(np.uint8)

    def _image_tags(self, folder: Path, stem: str) -> np.ndarray:
        path = folder / "annotations" / "image-level" / f"{stem}.mat"
        shown = matlab.load(path, "tags").ravel().astype(np.int64)
        if len(shown) and not 0 <= shown.min() <= shown.max() < len(self.tags):
            raise DataError(f"{path}: tags name number {shown.max()}; there are {len(self.tags)} tags")
        return shown

    def segmentation(self, index: int) -> np.ndarray | None:
        if index >= self._strong:
            picture = self.image(index)
            return np.full(picture.shape[:2], IGNORE, np.uint8)
        truth = self._truth(self.keys[index])
        return to_lip(truth, self.tags) if self.mapped else truth

    def read(self, index: int, size: Size | None = None) -> Sample:
        sample = super().read(index)
        if self.crop and index < self._strong and sample.segmentation is not None:
            rows, columns = _box(sample.segmentation)
            sample = replace(sample, image=sample.image[rows, columns], segmentation=sample.segmentation[rows, columns])
        return sample if size is None else sample.resized(size)


def _box(labels: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the person with a margin, widened towards one by two where the picture has room."""
    ys, xs = np.nonzero(labels)
    if not len(ys):
        return slice(None), slice(None)
    margin = int(0.04 * (ys.max() - ys.min())) + 1
    y0, y1 = max(0, ys.min() - margin), min(labels.shape[0], ys.max() + 1 + margin)
    half = max((y1 - y0) / 4, (xs.max() + 1 - xs.min()) / 2 + margin)
    middle = (xs.max() + 1 + xs.min()) / 2
    return slice(y0, y1), slice(max(0, int(middle - half)), min(labels.shape[1], int(np.ceil(middle + half))))


def _within(labels: np.ndarray, count: int) -> bool:
    """Whether all are from 0 to below the count, which what is not a number never is."""
    return labels.size > 0 and bool(0 <= labels.min() <= labels.max() < count)


def _stems(folder: Path) -> list[str]:
    try:
        names = sorted(n[:-4] for n in os.listdir(folder) if n.endswith(".mat"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"ccp: the folder {folder} is missing") from None
    if not names:
        raise DataError(f"ccp: the folder {folder} holds no .mat file")
    return names


def _share(seed: int, key: str) -> float:
    """A number in 0..1 that depends on seed and key only, so that no picture changes sides when others come or go."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big") / 2**64
