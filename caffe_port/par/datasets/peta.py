"""PETA in its unified form: 19,000 pictures and `PETA.mat` (Deng et al. 2014; splits of Li et al. 2015).

`PETA.mat` holds one struct `peta`: `data` (19000 x 109: image number, identity, source set, identity in that set, then
105 attributes of 0 and 1), `attribute` (105 names), `selected_attribute`, `partion_attribute` (5 splits of train, val
and test, numbered from 1). `selected_attribute` is 5..39 and counts the columns of `data` from 1, so it means the first
35 names; read as numbers of attributes it would give a list that is wrong but looks right.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from caffe_port.errors import DataError
from caffe_port.par.datasets import matlab
from caffe_port.par.datasets.base import LIP_CLASSES, FileDataset, Missing, find_images, without_missing
from caffe_port.par.datasets.published import differences

_LEADING = 4  # columns of `data` before the attributes


class Peta(FileDataset):
    """PETA's `split` 1..5, its 35 evaluated attributes, no segmentation (`classes` are those of pseudo labels)."""

    def __init__(self, root: str | os.PathLike[str], split: int = 1, missing: Missing = "error") -> None:
        folder = Path(root)
        path = next((p for p in (folder / "PETA.mat", folder / "peta" / "PETA.mat") if p.exists()), folder / "PETA.mat")
        struct = matlab.load(path, "peta")
        all_names = matlab.names(path, "attribute", matlab.field(path, struct, "attribute"))
        data = matlab.matrix(path, "data", matlab.field(path, struct, "data"), _LEADING + len(all_names))
        columns = matlab.record_numbers(
            path, "selected_attribute", matlab.field(path, struct, "selected_attribute"), data.shape[1]
        )
        if columns.min() < _LEADING or columns.max() >= _LEADING + len(all_names):
            raise DataError(
                f"{path}: selected_attribute names columns {columns.min() + 1}..{columns.max() + 1} of data; "
                f"attributes are the columns {_LEADING + 1}..{_LEADING + len(all_names)}"
            )
        everything = matlab.matrix(path, "data (attributes)", data[:, _LEADING:], len(all_names), (0, 1))
        labels = everything[:, columns - _LEADING].astype(np.uint8)
        parts = {k: k for k in ("train", "val", "test")}
        splits = matlab.splits_of(path, matlab.field(path, struct, "partion_attribute"), split, parts, len(data))
        stems = [f"{number:05d}" for number in data[:, 0].astype(int).tolist()]
        images = path.parent / "images"
        files = find_images(images, stems)
        splits, notes = without_missing("peta", images, stems, files, splits, missing)
        attributes = [all_names[c - _LEADING] for c in columns]
        super().__init__(
            name="peta",
            attributes=attributes,
            classes=list(LIP_CLASSES),
            keys=stems,
            labels=labels,
            splits=splits,
            notes=notes + differences("peta", attributes, labels),
            files=[f or images / f"{stem}.png" for f, stem in zip(files, stems, strict=True)],
        )
