"""The gradient of a layer in place whose Caffe code looks at its bottom: by then the top stands there.

For the layers that so get another gradient than the derivative, on CPU and GPU alike: nets were trained with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer


class _Sloped(torch.autograd.Function):
    @staticmethod
    def forward(bottom: Tensor, top: Tensor, slope: Tensor) -> Tensor:
        return top.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None


def blind_in_place(layer: Layer, bottom: Tensor, top: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
    """`top`; in place with `slope(top)` for its derivative, the one that Caffe computes there."""
    if list(layer.param.bottom[:1]) != list(layer.param.top[:1]) or not bottom.requires_grad:
        return top
    top = top.detach()
    return _Sloped.apply(bottom, top, slope(top))
