"""SmoothL1Loss: quadratic near zero, linear further out, with weights inside and outside."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import normalization
from caffe_port.layers.base import Layer, Shape, register


@register()
class SmoothL1Loss(Layer):
    """loss = 1/N sum outside * f(inside * (a - b)), with
    f(x) = (sigma x)^2 / 2 where |x| < 1 / sigma^2, else |x| - 1 / (2 sigma^2).

    Bottoms: a and b (N, ...), both with a gradient, and optionally the inside weights, and also the outside weights, of
    the same shape and with none. Top: the loss (). `sigma` is 1 unless given. Raises for shapes that differ, a sigma
    that is not positive, and a `loss_param.normalization` other than BATCH_SIZE, about which forks disagree.

    Source: smooth_L1_loss_layer.cpp and .cu of py-faster-rcnn's Caffe (Girshick, Fast R-CNN, 2015, equation 3), which
    has no CPU form and wants both weights; with three bottoms it is SSD's form. It is `F.smooth_l1_loss` with beta =
    1 / sigma^2, but for weights and divisor.
    """

    origin = "Fast R-CNN"
    bottoms: ClassVar[tuple[int, int | None]] = (2, 4)
    role = "loss"
    differentiable_bottoms = (0, 1)
    auto_tops = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if self.param.smooth_l1_loss_param.sigma <= 0:
            raise self.error("sigma must be positive")
        if normalization.mode(self.param.loss_param, normalization.BATCH_SIZE) != normalization.BATCH_SIZE:
            raise self.unsupported(
                "forks disagree whether the normalization of loss_param counts here; the sum is divided by the batch "
                "size: remove it, and give a loss_weight for another divisor"
            )

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        first = bottom_shapes[0]
        if not first:
            raise self.shape_error("the bottoms must have a first axis, the batch")
        for shape in bottom_shapes[1:]:
            if _without_ones(shape) != _without_ones(first):
                raise self.shape_error(f"all bottoms must have the shape of the first, {first}, not {shape}")
        return [()]

    def forward(self, a: Tensor, b: Tensor, *weights: Tensor) -> Tensor:
        difference = a - b.reshape(a.shape)
        if weights:
            difference = difference * weights[0].reshape(a.shape).detach()
        beta = 1 / self.param.smooth_l1_loss_param.sigma**2
        each = F.smooth_l1_loss(difference, difference.new_zeros(()).expand_as(difference), reduction="none", beta=beta)
        if len(weights) > 1:
            each = each * weights[1].reshape(a.shape).detach()
        return each.sum() / max(1, a.shape[0])


def _without_ones(shape: Shape) -> Shape:
    """The shape without 1s at its end: (8, 84) fits (8, 84, 1, 1)."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape
