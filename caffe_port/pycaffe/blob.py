"""pycaffe's Blob: `data` and `diff` as live NumPy arrays, and the legacy names of the four axes."""

from __future__ import annotations

import numpy as np

from caffe_port.blob import Blob as TensorBlob
from caffe_port.blob import NamedAxes


class Blob(NamedAxes):
    """A view of a blob. On the CPU `data` and `diff` are the blob's own memory: writing into them writes the blob."""

    def __init__(self, blob: TensorBlob) -> None:
        self._blob = blob

    @property
    def data(self) -> np.ndarray:
        return self._blob.data.detach().cpu().numpy()

    @property
    def diff(self) -> np.ndarray:
        return self._blob.diff.detach().cpu().numpy()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._blob.shape

    def reshape(self, *shape: int) -> None:
        self._blob.reshape(shape)
