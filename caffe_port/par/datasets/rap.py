"""RAP v1: 41,585 pictures and `RAP_annotation.mat` (Li et al. 2016), 51 of its 92 columns of labels.

`RAP_annotation.mat` holds one struct `RAP_annotation`: `partion` (sic; 5 splits of train_index and test_index, numbered
from 1), `attribute_eng` (names), `label` (41585 x 92 of 0, 1 and 2, where 2 is unclear), `imagesname`. The first 51
columns are the evaluated ones. Written from the published layout; the owners give the data out on a signed agreement.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from caffe_port.errors import DataError
from caffe_port.par.datasets import matlab
from caffe_port.par.datasets.base import IGNORE, LIP_CLASSES, FileDataset, Missing, find_images, without_missing
from caffe_port.par.datasets.published import differences

EVALUATED = 51
_UNCLEAR = 2


class Rap(FileDataset):
    """RAP's `split` 1..5. A label of 2 counts as negative, as in the published measures, or becomes IGNORE with
    unclear="ignore"."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: int = 1,
        unclear: Literal["negative", "ignore"] = "negative",
        missing: Missing = "error",
    ) -> None:
        if unclear not in ("negative", "ignore"):
            raise DataError(f"rap: unclear is '{unclear}'; it may be 'negative' or 'ignore'")
        folder = Path(root)
        name = "RAP_annotation.mat"
        path = next((p for p in (folder / name, folder / "RAP_annotation" / name) if p.exists()), folder / name)
        struct = matlab.load(path, "RAP_annotation")
        names = matlab.names(path, "attribute_eng", matlab.field(path, struct, "attribute_eng"))
        if len(names) < EVALUATED:
            raise DataError(f"{path}: attribute_eng has {len(names)} names, the evaluation needs the first {EVALUATED}")
        raw = matlab.matrix(path, "label", matlab.field(path, struct, "label"), EVALUATED, (0, 1, _UNCLEAR))
        raw = raw[:, :EVALUATED]
        pictures = matlab.names(path, "imagesname", matlab.field(path, struct, "imagesname"))
        if len(pictures) != len(raw):
            raise DataError(f"{path}: imagesname has {len(pictures)} names but label {len(raw)} rows")
        parts = {"train": "train_index", "test": "test_index"}
        splits = matlab.splits_of(path, matlab.field(path, struct, "partion"), split, parts, len(raw))
        stems = [Path(p.replace("\\", "/")).stem for p in pictures]
        images = next((p for p in (folder / "RAP_dataset", folder / "images") if p.is_dir()), folder / "RAP_dataset")
        files = find_images(images, stems)
        splits, notes = without_missing("rap", images, stems, files, splits, missing)
        doubtful = int((raw == _UNCLEAR).sum())
        if doubtful:
            taken = "negative" if unclear == "negative" else "not known"
            notes.append(f"{doubtful} labels of 2 (unclear) taken as {taken}")
        labels = np.where(raw == _UNCLEAR, 0 if unclear == "negative" else IGNORE, raw).astype(np.uint8)
        super().__init__(
            name="rap",
            attributes=names[:EVALUATED],
            classes=list(LIP_CLASSES),
            keys=stems,
            labels=labels,
            splits=splits,
            notes=notes + differences("rap", names[:EVALUATED], labels),
            files=[f or images / f"{stem}.png" for f, stem in zip(files, stems, strict=True)],
        )
