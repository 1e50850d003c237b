"""The blobs that a Python layer's own code sees: NumPy arrays under pycaffe's names.

Source of the names: python/caffe/_caffe.cpp of BVLC Caffe 1.0 (class Blob, BlobVec).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from math import prod

import numpy as np
from torch import Tensor

from caffe_port.blob import NamedAxes
from caffe_port.layers.base import Layer


class NumpyBlob(NamedAxes):
    """`data` and `diff` stay in one memory; only `reshape` to another count makes new ones, of zeros."""

    def __init__(self, shape: tuple[int, ...] = (), dtype: np.dtype | type = np.float32) -> None:
        self.data = np.zeros(shape, dtype)
        self._diff: np.ndarray | None = None

    @property
    def diff(self) -> np.ndarray:
        data = self.data
        if self._diff is None or self._diff.dtype != data.dtype or self._diff.size != data.size:
            self._diff = np.zeros_like(data)
        elif self._diff.shape != data.shape:
            self._diff = self._diff.reshape(data.shape)
        return self._diff

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def reshape(self, *shape: int) -> None:
        dims = tuple(operator.index(d) for d in shape)
        if dims == self.shape:
            return
        self.data = self.data.reshape(dims) if prod(dims) == self.data.size else np.zeros(dims, self.data.dtype)

    def cast(self, dtype: np.dtype) -> None:
        if self.data.dtype != dtype:
            self.data = self.data.astype(dtype)

    def load(self, value: Tensor) -> None:
        array = value.detach().cpu().numpy()
        self.cast(array.dtype)
        self.reshape(*array.shape)
        self.data[...] = array


class ParameterBlob(NumpyBlob):
    """A learnable blob. On the CPU `data` is the parameter's own memory; elsewhere `pull` and `push` copy."""

    def __init__(self, layer: Layer, name: str) -> None:
        self.layer, self.name = layer, name
        self._diff = None
        self._copy: np.ndarray | None = None

    @property
    def tensor(self) -> Tensor:
        return getattr(self.layer, self.name)

    @property
    def data(self) -> np.ndarray:  # type: ignore[override]
        if self.tensor.device.type == "cpu":
            return self.tensor.detach().numpy()
        if self._copy is None:
            self.pull()
        assert self._copy is not None
        return self._copy

    def pull(self) -> None:
        self._copy = None if self.tensor.device.type == "cpu" else self.tensor.detach().cpu().numpy()

    def push(self) -> None:
        if self._copy is not None:
            self.tensor.detach().copy_(self.tensor.new_tensor(self._copy))

    def reshape(self, *shape: int) -> None:
        if tuple(shape) != self.shape:
            self.layer.add_blob(self.name, tuple(operator.index(d) for d in shape))


class BlobVec:
    """`self.blobs` of a Python layer: grows by `add_blob(*shape)`, in setup."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._blobs: list[ParameterBlob] = []

    def add_blob(self, *shape: int) -> None:
        name = f"blob{len(self._blobs)}"
        self._layer.blob_names = (*self._layer.blob_names, name)
        self._layer.add_blob(name, tuple(operator.index(d) for d in shape))
        self._blobs.append(ParameterBlob(self._layer, name))

    def __len__(self) -> int:
        return len(self._blobs)

    def __getitem__(self, i: int) -> ParameterBlob:
        return self._blobs[i]

    def __iter__(self) -> Iterator[ParameterBlob]:
        return iter(self._blobs)
