"""pycaffe's Blob: `data` and `diff` as NumPy arrays to read and to write, and the legacy names of the four axes."""

from __future__ import annotations

import operator

import numpy as np

from caffe_port.blob import Blob as TensorBlob
from caffe_port.blob import NamedAxes
from caffe_port.pycaffe import host


class Blob(NamedAxes):
    """A view of a blob. On the CPU `data` and `diff` are the blob's own memory; on a GPU what is written into them
    reaches the blob before the next pass (see host.py)."""

    def __init__(self, blob: TensorBlob) -> None:
        self._blob = blob

    @property
    def data(self) -> np.ndarray:
        return host.array_of(self._blob.data)

    @property
    def diff(self) -> np.ndarray:
        return host.array_of(self._blob.diff)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._blob.shape

    def reshape(self, *shape: int) -> None:
        host.settle()
        self._blob.reshape([operator.index(dim) for dim in shape])
