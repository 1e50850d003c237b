"""MATLAB's files as the data sets use them: one struct of matrices and cell arrays. Every surprise is a DataError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from caffe_port.errors import DataError
from caffe_port.par.datasets import matlab_hdf5

_HDF5 = b"\x89HDF\r\n\x1a\n"


def load(path: Path, name: str) -> np.ndarray:
    """Variable `name` of a MAT file of version 5 to 7.3 (version 4 holds no structs)."""
    try:
        with open(path, "rb") as f:
            head = f.read(1024)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if head.startswith(b"MATLAB 7.3") or _HDF5 in head:
        return matlab_hdf5.load(path, name)
    try:
        content = scipy.io.loadmat(str(path), variable_names=[name])
    except Exception as error:  # scipy raises a dozen kinds on damaged files, zlib's and struct's among them
        raise DataError(f"{path} is not a readable MAT file of version 5 to 7: {error}") from error
    if name not in content:
        held = ", ".join(n for n, _, _ in _whosmat(path)) or "nothing"
        raise DataError(f"{path} has no variable '{name}'; it holds {held}")
    return content[name]


def _whosmat(path: Path) -> list[tuple[str, Any, str]]:
    try:
        return scipy.io.whosmat(str(path))
    except Exception:  # as above; only used to word an error
        return []


def field(path: Path, struct: np.ndarray, name: str) -> np.ndarray:
    """One field of a 1 x 1 struct."""
    names = struct.dtype.names or ()
    if name not in names:
        raise DataError(f"{path}: field '{name}' is missing; there are {', '.join(names) or 'no fields'}")
    return unwrap(struct[name])


def unwrap(value: Any) -> np.ndarray:
    """A value without the 1 x 1 cells and structs' object arrays around it; a sparse matrix as a full one."""
    array = np.asarray(value)
    while array.dtype == object and array.size == 1:
        inner = array.reshape(-1)[0]
        if scipy.sparse.issparse(inner):
            return inner.toarray()
        array = np.asarray(inner)
    return array


def names(path: Path, what: str, cells: np.ndarray) -> list[str]:
    """A cell array of strings, in order."""
    out = []
    for i, cell in enumerate(np.asarray(cells).ravel()):
        text = unwrap(cell)
        if text.dtype.kind != "U":
            raise DataError(f"{path}: {what}, cell {i + 1}, is not a text")
        out.append("".join(text.ravel().tolist()).strip())
        if not out[-1]:
            raise DataError(f"{path}: {what}, cell {i + 1}, is empty")
    return out


def matrix(
    path: Path, what: str, value: np.ndarray, columns: int, allowed: tuple[int, ...] | None = None
) -> np.ndarray:
    """A numeric matrix with at least `columns` columns; values other than `allowed` in the first ones are an error."""
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "buif" or array.shape[1] < columns:
        raise DataError(
            f"{path}: {what} is {array.dtype} {array.shape}, expected numbers in {columns} columns or more"
        )
    if allowed is not None:
        bad = np.argwhere(~np.isin(array[:, :columns], allowed))
        if len(bad):
            row, column = bad[0].tolist()
            raise DataError(
                f"{path}: {what}, row {row + 1}, column {column + 1}, is {array[row, column]}; "
                f"it may be {', '.join(map(str, allowed))}"
            )
    return array


def record_numbers(path: Path, what: str, value: np.ndarray, records: int) -> np.ndarray:
    """Numbers from 1 in the file to int64 numbers from 0; refuses any outside 1..records and any given twice."""
    array = unwrap(value)
    if array.dtype.kind not in "uif":
        raise DataError(f"{path}: {what} holds no numbers")
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all():
        raise DataError(f"{path}: {what} holds numbers that are not whole")
    flat = array.ravel().astype(np.int64)
    bad = np.flatnonzero((flat < 1) | (flat > records))
    if len(bad):
        raise DataError(
            f"{path}: {what}: entry {bad[0] + 1} is record {flat[bad[0]]}, outside 1..{records} "
            f"({len(bad)} such entries)"
        )
    if len(np.unique(flat)) != len(flat):
        raise DataError(f"{path}: {what} names a record twice")
    return flat - 1


def splits_of(
    path: Path, cells: np.ndarray, split: int, parts: dict[str, str], records: int
) -> dict[str, np.ndarray]:
    """Split number `split` (from 1) of a cell array of structs; `parts` maps our names to the struct's fields. Parts
    of one split that share a record are refused: a test picture that was trained on measures nothing."""
    rows = np.asarray(cells).ravel()
    if not isinstance(split, int) or not 1 <= split <= len(rows):
        raise DataError(f"{path}: there is no split {split}; there are 1..{len(rows)}")
    struct = unwrap(rows[split - 1])
    out: dict[str, np.ndarray] = {}
    for ours, theirs in parts.items():
        out[ours] = record_numbers(path, f"split {split}, {theirs}", field(path, struct, theirs), records)
    for a in out:
        for b in out:
            shared = np.intersect1d(out[a], out[b])
            if a < b and len(shared):
                raise DataError(f"{path}: split {split}: record {shared[0] + 1} is in {a} and in {b}")
    return out
