"""Data sets of pedestrians with attributes and, where they have them, segmentations, all in one form (base.py)."""

from __future__ import annotations

import os
from typing import Any

from caffe_port.errors import DataError
from caffe_port.par.datasets.base import IGNORE, LIP_CLASSES, Dataset, Sample

__all__ = ["IGNORE", "LIP_CLASSES", "NAMES", "Dataset", "Sample", "open_dataset"]

NAMES = ("drawn", "ccp", "peta", "rap", "lip")


def open_dataset(name: str, root: str | os.PathLike[str] | None = None, **options: Any) -> Dataset:
    """The data set of that name; `root` is its unpacked folder, `drawn` needs none. `options` are the reader's own."""
    if name == "drawn":
        from caffe_port.par.datasets.drawn import Drawn

        return Drawn(**options)
    if name not in NAMES:
        raise DataError(f"data set '{name}' is not known; known are {', '.join(NAMES)}")
    if root is None:
        raise DataError(f"data set '{name}' needs the folder that it is unpacked in (only 'drawn' needs none)")
    if name == "ccp":
        from caffe_port.par.datasets.ccp import Ccp

        return Ccp(root, **options)
    if name == "peta":
        from caffe_port.par.datasets.peta import Peta

        return Peta(root, **options)
    if name == "lip":
        from caffe_port.par.datasets.lip import Lip

        return Lip(root, **options)
    from caffe_port.par.datasets.rap import Rap

    return Rap(root, **options)
