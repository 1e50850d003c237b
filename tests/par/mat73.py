"""What MATLAB's `save(..., '-v7.3')` writes: HDF5 behind 512 bytes of header, axes in reverse, cells as references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 ."
CLASSES = {"f8": "double", "f4": "single", "b1": "logical"}


def savemat(path: Path, variables: dict[str, Any]) -> None:
    """As scipy.io.savemat: dicts are 1 x 1 structs, object arrays cells, texts rows of char, the rest numbers."""
    with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
        for name, value in variables.items():
            _write(file, file, name, value)
        file.require_group("#refs#")
    with open(path, "r+b") as f:
        f.write(HEADER.ljust(116) + bytes(8) + b"\x00\x02IM")


def _write(file: h5py.File, parent: h5py.Group, name: str, value: Any) -> h5py.Dataset | h5py.Group:
    if isinstance(value, dict):
        group = parent.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, content in value.items():
            _write(file, group, field, content)
        return group
    if isinstance(value, str):
        units = np.frombuffer(value.encode("utf-16-le"), np.uint16)[None]
        return _dataset(parent, name, units, "char", int_decode=2)
    array = np.atleast_2d(value)
    if array.dtype == object and array.size:
        pool = file.require_group("#refs#")
        cells = [_write(file, pool, f"{name}{len(pool)}", cell).ref for cell in array.T.ravel()]
        made = parent.create_dataset(name, array.T.shape, h5py.ref_dtype)
        made[...] = np.array(cells, h5py.ref_dtype).reshape(array.T.shape)
        made.attrs["MATLAB_class"] = np.bytes_("cell")
        return made
    kind = "cell" if array.dtype == object else CLASSES.get(array.dtype.str[1:], array.dtype.name)
    return _dataset(parent, name, array, kind, int_decode=1 if kind == "logical" else None)


def _dataset(parent: h5py.Group, name: str, array: np.ndarray, kind: str, int_decode: int | None) -> h5py.Dataset:
    """An empty array stores its size, and says that it does."""
    stored = array.T.astype(np.uint8) if kind == "logical" else array.T
    made = parent.create_dataset(name, data=stored if array.size else np.array(array.shape, np.uint64))
    made.attrs["MATLAB_class"] = np.bytes_(kind)
    if not array.size:
        made.attrs["MATLAB_empty"] = np.uint8(1)
    if int_decode is not None:
        made.attrs["MATLAB_int_decode"] = np.int32(int_decode)
    return made
