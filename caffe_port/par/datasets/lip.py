"""Look-Into-Person's single persons: pictures with twenty classes a pixel, no attributes (Gong et al., CVPR 2017).

Three archives give, below one folder and each perhaps in a folder of its archive's name,

    train_images/<id>.jpg          val_images/<id>.jpg          train_id.txt, val_id.txt (an id a line)
    train_segmentations/<id>.png   val_segmentations/<id>.png   (class numbers 0..19)

The public test pictures have no labels and are not read. Written from the published layout; the owners give the data
out for research.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from caffe_port.errors import DataError
from caffe_port.par.datasets.base import IGNORE, LIP_CLASSES, FileDataset, Missing, find_images, without_missing

DEPTH = 3
"""Folders below the root in which the parts are looked for, as the archives wrap them differently."""


class Lip(FileDataset):
    """The split `train` is theirs, `test` is their validation set. Without attributes it trains the body parser
    only."""

    def __init__(self, root: str | os.PathLike[str], missing: Missing = "error") -> None:
        folder = Path(root)
        keys: list[str] = []
        files: list[Path | None] = []
        self._maps: list[Path] = []
        splits = {}
        for ours, theirs in (("train", "train"), ("test", "val")):
            ids = _ids(_find(folder, f"{theirs}_id.txt"))
            pictures, maps = _find(folder, f"{theirs}_images"), _find(folder, f"{theirs}_segmentations")
            splits[ours] = np.arange(len(keys), len(keys) + len(ids))
            keys += ids
            there = find_images(pictures, ids, (".jpg", ".jpeg", ".png"))
            labelled = find_images(maps, ids, (".png",))
            files += [f if m else None for f, m in zip(there, labelled, strict=True)]
            self._maps += [maps / f"{i}.png" for i in ids]
        both = np.intersect1d([keys[i] for i in splits["train"]], [keys[i] for i in splits["test"]])
        if len(both):
            raise DataError(f"lip: '{both[0]}' is in train_id.txt and in val_id.txt")
        splits, notes = without_missing("lip", folder, keys, files, splits, missing)
        notes.append("split 'test' is Look-Into-Person's validation set")
        super().__init__(
            name="lip", attributes=[], classes=list(LIP_CLASSES), keys=keys,
            labels=np.zeros((len(keys), 0), np.uint8), splits=splits, notes=notes,
            files=[f or folder / f"{key}.jpg" for f, key in zip(files, keys, strict=True)],
        )  # fmt: skip

    def segmentation(self, index: int) -> np.ndarray:
        path = self._maps[index]
        try:
            with Image.open(path) as picture:
                if picture.mode not in ("L", "P"):
                    raise DataError(f"lip: {path} has mode {picture.mode}; a label map is a grey or palette PNG")
                labels = np.asarray(picture, np.uint8)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"lip: the label map {path} cannot be read: {error}") from error
        wrong = labels[(labels >= len(self.classes)) & (labels != IGNORE)]
        if len(wrong):
            raise DataError(
                f"lip: {path} holds class {wrong[0]}; there are {len(self.classes)} (0..{len(self.classes) - 1})"
            )
        return labels


def _find(root: Path, name: str) -> Path:
    """The shallowest `name` below the root."""
    for depth in range(DEPTH + 1):
        found = sorted(root.glob("*/" * depth + name))
        if found:
            return found[0]
    raise DataError(f"lip: there is no {name} in {root}, nor up to {DEPTH} folders below it")


def _ids(path: Path) -> list[str]:
    ids = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    ids = [i.rsplit(".", 1)[0] if i.lower().endswith((".jpg", ".png")) else i for i in ids]
    if not ids:
        raise DataError(f"lip: {path} lists no picture")
    if len(set(ids)) != len(ids):
        twice = next(i for n, i in enumerate(ids) if i in ids[:n])
        raise DataError(f"lip: {path} lists '{twice}' twice")
    return ids
