"""A blob: a tensor and its diff, with the one shape that both have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

LARGEST, MOST_AXES = 2**31 - 1, 32
SHAPE_RULE = f"a blob has at most {MOST_AXES} axes, none negative, and at most {LARGEST} numbers"


def is_shape(shape: Sequence[int]) -> bool:
    """Whether a blob can have this shape. Source: `Blob::Reshape`, src/caffe/blob.cpp:20-40, which aborts if not."""
    return len(shape) <= MOST_AXES and min(shape, default=0) >= 0 and prod(shape) <= LARGEST


class NamedAxes(ABC):
    """The names that pycaffe's blobs have for their count and their four axes; missing axes are of size 1."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The blob's sizes, which the names below are about."""

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


class Blob:
    """`data` and `diff` of one shape. The diff is made when it is first asked for, as zeros.

    The tensors are persistent: a driver copies new values into them, so a NumPy view taken once (CPU) stays live until
    the blob is reshaped.
    """

    def __init__(self, data: Tensor, diff: Tensor | None = None) -> None:
        self.data = data
        self._diff = diff

    @classmethod
    def zeros(cls, shape: Sequence[int], device: torch.device | str = "cpu") -> Blob:
        return cls(torch.zeros(tuple(shape), device=device))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def diff(self) -> Tensor:
        if self._diff is None or self._diff.shape != self.data.shape:
            self._diff = torch.zeros_like(self.data, requires_grad=False)
        return self._diff

    def has_diff(self) -> bool:
        return self._diff is not None

    def reshape(self, shape: Sequence[int]) -> None:
        """Give the blob another shape; values are kept where the count is the same, else start at zero."""
        shape = tuple(int(d) for d in shape)
        if shape == self.shape:
            return
        if prod(shape) == self.data.numel():
            self.data = self.data.reshape(shape)
            self._diff = None if self._diff is None else self._diff.reshape(shape)
        else:
            self.data = torch.zeros(shape, dtype=self.data.dtype, device=self.data.device)
            self._diff = None
