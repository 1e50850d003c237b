"""HDF5Data: batches out of HDF5 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import log
from caffe_port.data.extras import need
from caffe_port.errors import DataError
from caffe_port.layers.base import TRAIN, Layer, Shape, register


@register()
class HDF5Data(Layer):
    """Rows of the data sets named like the tops, file after file of the list `hdf5_data_param.source`, for ever.

    Each top is (batch, rest of its data set's shape); whole numbers and doubles become float32. One file is in memory
    at a time, whole, as in Caffe. `shuffle`: a new random order of the files, and of the rows inside each, every time
    through. The list's names are separated by any white space and relative to the working folder.

    DataError, naming file and data set: a data set that is not there, is of another length than the others, or of
    another shape than in the first file (Caffe reads such a file at wrong places). `transform_param` is refused, as in
    Caffe. In TRAIN rank r of n reads rows r, r + n, ... (`set_rank`). Needs h5py (`pip install caffe-port[hdf5]`).
    Source: hdf5_data_layer.cpp of BVLC Caffe 1.0.
    """

    role = "data"
    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.hdf5_data_param
        if self.param.HasField("transform_param"):
            raise self.error("HDF5Data does not transform; take transform_param away, store the data transformed")
        if p.batch_size < 1:
            raise self.error("batch_size must be given, and at least 1")
        self.h5py = need("h5py", "hdf5", f"{self.title}: reading")
        try:
            self.files = Path(p.source).read_text().split()
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(f"{self.title}: {p.source}: the list of HDF5 files cannot be read: {e}") from None
        if not self.files:
            raise DataError(f"{self.title}: {p.source}: the list of HDF5 files is empty; name one file a line")
        self.notes += [
            ("hdf5_data_layer.cpp:81", f"Loading list of HDF5 filenames from: {p.source}"),
            ("hdf5_data_layer.cpp:95", f"Number of HDF5 files: {len(self.files)}"),
        ]
        self.rank, self.world = 0, 1
        seed = int(torch.randint(0, 2**31 - 1, ())) if p.shuffle else None
        self.row_shapes: list[Shape] | None = None
        self.kinds: list[str] = []
        self.loaded: str | None = None
        self.restore({"round": 0, "file": 0, "row": 0, "offset": 0, "seed": seed})
        self.row_shapes = [tuple(a.shape[1:]) for a in self.arrays]
        for kind in self.kinds:
            line, name = (33, "FLOAT") if kind == "f" else (36, "INTEGER")
            if log.first_time(f"hdf5.cpp:{line}"):
                self.notes.append((f"hdf5.cpp:{line}", f"Datatype class: H5T_{name}"))

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        assert self.row_shapes is not None
        return [(self.param.hdf5_data_param.batch_size, *shape) for shape in self.row_shapes]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        parts: list[list[np.ndarray]] = [[] for _ in self.arrays]
        missing = self.param.hdf5_data_param.batch_size
        while missing:
            first = (self.rank - self.offset) % self.world
            rows = self.order[self.row + first :: self.world][:missing]
            for part, array in zip(parts, self.arrays, strict=True):
                part.append(array[rows])
            missing -= len(rows)
            self._advance(first + self.world * (len(rows) - 1) + 1 if len(rows) else len(self.order) - self.row)
        return tuple(torch.from_numpy(np.concatenate(part)) for part in parts)

    def set_rank(self, rank: int, world: int) -> None:
        """This is process `rank` of `world`; in TEST every rank reads all."""
        if self.phase == TRAIN:
            self.rank, self.world = rank, world

    def state(self) -> dict[str, Any]:
        """The place of the next batch: plain numbers."""
        return {"round": self.round, "file": self.file, "row": self.row, "offset": self.offset, "seed": self.seed}

    def restore(self, state: dict[str, Any]) -> None:
        """Deliver next what followed `state`."""
        self.round, self.file, self.row = state["round"], state["file"], state["row"]
        self.offset, self.seed = state["offset"], state["seed"]
        if self.file >= len(self.files):
            raise DataError(f"{self.title}: the list of HDF5 files has no entry {self.file}; is it the same as before?")
        self._open()

    def _advance(self, rows: int) -> None:
        """Pass so many rows of this file, and go to the next file behind its last."""
        self.offset += rows
        self.row += rows
        if self.row < len(self.order):
            return
        self.row = 0
        self.file += 1
        if self.file == len(self.files):
            self.file = 0
            self.round += 1
        self._open()

    def _open(self) -> None:
        """Load the file of this place in this round, and arrange its rows."""
        name = self.files[self._shuffled(len(self.files), 0)[self.file]]
        if name != self.loaded:
            self.arrays = self._read(name)
            self.loaded = name
        self.order = self._shuffled(len(self.arrays[0]), 1 + self.file)

    def _shuffled(self, count: int, stream: int) -> np.ndarray:
        """The order that seed and round give; the stored order without `shuffle`."""
        if self.seed is None:
            return np.arange(count)
        return np.random.default_rng([self.seed, self.round, stream]).permutation(count)

    def _read(self, name: str) -> list[np.ndarray]:
        self.kinds.clear()
        try:
            with self.h5py.File(name, "r") as file:
                arrays = [self._data_set(file, name, top) for top in self.param.top]
        except OSError as e:
            raise DataError(f"{self.title}: {name}: not a readable HDF5 file: {e}") from None
        for i, (top, array) in enumerate(zip(self.param.top, arrays, strict=True)):
            if len(array) != len(arrays[0]) or len(array) == 0:
                raise DataError(
                    f"{self.title}: {name}: data set '{top}' has {len(array)} rows, '{self.param.top[0]}' has "
                    f"{len(arrays[0])}; they must be as many, and at least one"
                )
            if self.row_shapes is not None and tuple(array.shape[1:]) != self.row_shapes[i]:
                raise DataError(
                    f"{self.title}: {name}: rows of data set '{top}' are {tuple(array.shape[1:])}, in the first file "
                    f"{self.row_shapes[i]}; all files must agree"
                )
        return arrays

    def _data_set(self, file: Any, name: str, top: str) -> np.ndarray:
        stored = file.get(top)
        if not isinstance(stored, self.h5py.Dataset):
            there = ", ".join(file) or "none"
            raise DataError(f"{self.title}: {name}: has no data set '{top}' (named by the top); it has {there}")
        if stored.ndim == 0 or stored.dtype.kind not in "fiu":
            raise DataError(
                f"{self.title}: {name}: data set '{top}' is {stored.dtype} of shape {stored.shape}; "
                "it must be numbers with at least one axis"
            )
        self.kinds.append(stored.dtype.kind)
        return stored[...].astype(np.float32)
