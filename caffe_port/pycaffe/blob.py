"""pycaffe's Blob: `data` and `diff` as live NumPy arrays, and the legacy names of the four axes."""

from __future__ import annotations

from math import prod

import numpy as np

from caffe_port.blob import Blob as TensorBlob


class Blob:
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

    @property
    def count(self) -> int:
        return prod(self.shape)

    def _legacy(self, axis: int) -> int:
        if len(self.shape) > 4:
            raise ValueError(f"num, channels, height and width are names of 4 axes; this blob has shape {self.shape}")
        return self.shape[axis] if axis < len(self.shape) else 1

    @property
    def num(self) -> int:
        return self._legacy(0)

    @property
    def channels(self) -> int:
        return self._legacy(1)

    @property
    def height(self) -> int:
        return self._legacy(2)

    @property
    def width(self) -> int:
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        self._blob.reshape(shape)
