"""Tensors as NumPy arrays that can be written into, wherever the tensors are.

On the CPU an array is the tensor's own memory. Elsewhere it is a copy that is lent until the next `settle`, which
writes it back: every call of pycaffe's that runs a net, or reads or changes tensors, settles first. So an array must be
asked for again after such a call, as one of Caffe's own in GPU mode (syncedmem.cpp of BVLC Caffe 1.0).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

_lent: dict[tuple[int, torch.Size], tuple[Tensor, np.ndarray]] = {}


def in_reach(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def array_of(tensor: Tensor) -> np.ndarray:
    """The same array for the same memory until the next `settle`: nets may share a blob."""
    tensor = tensor.data  # not detach(): autograd must not count what is written as a change, as on a CPU
    if in_reach(tensor):
        return tensor.numpy()
    key = tensor.data_ptr(), tensor.shape
    if key not in _lent:
        _lent[key] = tensor, tensor.to("cpu", copy=True).numpy()
    return _lent[key][1]


def settle() -> None:
    """Write what is lent back into the tensors."""
    for tensor, array in _lent.values():
        tensor.copy_(torch.from_numpy(array))
    _lent.clear()


def settling(callback: Callable[..., object]) -> Callable[..., None]:
    """The callback, after which what it wrote is in the tensors."""

    def call(*given: object) -> None:
        callback(*given)
        settle()

    return call
