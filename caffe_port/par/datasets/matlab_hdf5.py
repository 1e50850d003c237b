"""MAT files of version 7.3, which are HDF5 with MATLAB's conventions, as the arrays that scipy makes of version 5 to 7.

A variable is a dataset, its axes in reverse order, or for a struct a group with a member a field. `MATLAB_class` names
the type: numbers and "logical" are stored as they are, "char" as UTF-16 code units, "cell" as references to datasets
under `#refs#`; the fields of a struct array are references too. `MATLAB_empty` marks a dataset that holds the size of
an empty array instead of its elements. Written from files and from h5py's documentation; The MathWorks publishes no
specification.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data.extras import need
from caffe_port.errors import DataError
from caffe_port.hdf5 import UNPACKED

DEPTH = 16
"""Cells in cells in structs; a file may refer to itself."""
VALUE = 4096
"""Bytes that a value counts at least, in the bound on what a file unpacks to: many references may lead to one."""
NUMBERS = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def load(path: Path, name: str) -> np.ndarray:
    """Variable `name`; every surprise is a DataError."""
    h5py = need("h5py", "hdf5", f"{path} is a MAT file of version 7.3: reading it")
    try:
        with h5py.File(path, "r") as file:
            if name not in file:
                held = ", ".join(n for n in file if not n.startswith("#")) or "nothing"
                raise DataError(f"{path} has no variable '{name}'; it holds {held}")
            reader = _Reader(h5py, file, path)
            return reader.value(reader.member(file, name, name), name, 0)
    except DataError:
        raise
    except Exception as error:  # h5py raises a dozen kinds on damaged files
        raise DataError(f"{path} is not a readable MAT file of version 7.3: {error}") from error


class _Reader:
    """One file, with a bound on what it may unpack to."""

    def __init__(self, h5py: Any, file: Any, path: Path) -> None:
        self.h5py, self.file, self.path = h5py, file, path
        self.left = UNPACKED * path.stat().st_size + 2**26

    def value(self, item: Any, where: str, depth: int) -> np.ndarray:
        if depth > DEPTH:
            raise DataError(f"{self.path}: {where} is nested more than {DEPTH} deep")
        self.left -= VALUE
        if self.left < 0:
            raise DataError(f"{self.path}: {where}: the file unpacks to more than it can hold")
        kind = _text(item.attrs.get("MATLAB_class", b""))
        if "MATLAB_sparse" in item.attrs or "MATLAB_object_decode" in item.attrs:
            what = "sparse" if "MATLAB_sparse" in item.attrs else f"of class {kind}"
            raise DataError(
                f"{self.path}: {where} is {what}, which is not read; make it a full matrix (full), or texts a cell "
                "array (cellstr), and save again"
            )
        if isinstance(item, self.h5py.Group):
            return self._struct(item, where, depth)
        data = self._stored(item, where)
        if item.attrs.get("MATLAB_empty", 0):
            empty = tuple(int(n) for n in data.ravel())
            if not empty or 0 not in empty:
                raise DataError(f"{self.path}: {where} is marked as empty but is {empty}")
            return np.zeros(0, "<U1") if kind == "char" else np.zeros(empty, object if kind == "cell" else np.float64)
        if data.dtype == object or kind == "cell":
            return self._cells(data.T, where, depth)
        if kind == "char":
            rows = np.atleast_2d(data.T).astype("<u2")
            return np.array([row.tobytes().decode("utf-16-le", "replace") for row in rows])
        if kind and kind not in NUMBERS:
            raise DataError(f"{self.path}: {where} is of class {kind}, which is not read")
        return data.T

    def member(self, group: Any, name: str, where: str) -> Any:
        """What the group holds by this name; DataError where that is in another file."""
        item = group[name]
        if item.file.filename != self.file.filename:
            raise DataError(f"{self.path}: {where} is a link to another file, which is not followed")
        return item

    def _struct(self, group: Any, where: str, depth: int) -> np.ndarray:
        """(1, 1), or the struct array's size, of records of objects."""
        fields = {}
        for name in group:
            item = self.member(group, name, f"{where}.{name}")
            parts = isinstance(item, self.h5py.Dataset) and self.h5py.check_ref_dtype(item.dtype)
            if parts and "MATLAB_class" not in item.attrs:  # a field of a struct array: one reference an element
                fields[name] = self._cells(self._stored(item, f"{where}.{name}").T, f"{where}.{name}", depth)
            else:
                cell = np.empty((1, 1), object)
                cell[0, 0] = self.value(item, f"{where}.{name}", depth + 1)
                fields[name] = cell
        shapes = {cell.shape for cell in fields.values()} or {(1, 1)}
        if len(shapes) > 1:
            raise DataError(f"{self.path}: {where}: the fields of this struct array differ in size")
        out = np.empty(shapes.pop(), [(name, object) for name in fields])
        for name, cell in fields.items():
            out[name] = cell
        return out

    def _cells(self, references: np.ndarray, where: str, depth: int) -> np.ndarray:
        out = np.empty(references.shape, object)
        for i, reference in enumerate(references.ravel()):
            if not isinstance(reference, self.h5py.Reference) or not reference:
                raise DataError(f"{self.path}: {where}, cell {i + 1}, refers to nothing")
            out.reshape(-1)[i] = self.value(self.file[reference], f"{where}, cell {i + 1}", depth + 1)
        return out

    def _stored(self, item: Any, where: str) -> np.ndarray:
        if item.dtype.hasobject and not self.h5py.check_ref_dtype(item.dtype):  # any length, not in nbytes
            raise DataError(f"{self.path}: {where} is of HDF5's type {item.dtype}, which MATLAB does not write")
        self.left -= item.nbytes
        # As in caffe_port/hdf5.py: what claims more than deflate can pack holds no data, only a gigantic shape.
        if self.left < 0 or item.nbytes > 1100 * item.id.get_storage_size() or item.external or item.is_virtual:
            raise DataError(f"{self.path}: {where} claims {item.shape} but the file stores no such data")
        return np.asarray(item[()])


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
