"""SmoothL1LossOHEM: R-FCN's SmoothL1Loss, with the loss of every region for BoxAnnotatorOHEM."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import normalization
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.proto import caffe_pb2

PRE_FIXED = caffe_pb2.LossParameter.PRE_FIXED


@register()
class SmoothL1LossOHEM(Layer):
    """loss = 1/d sum f(w (a - b)), f(x) = x^2 / 2 where |x| < 1, else |x| - 1/2.

    Bottoms: a and b (N, C, H, W), both with a gradient, and optionally weights w of the same shape, with none; axes at
    the end may be missing. Tops: the loss (), and where named the loss of every region and place (N, 1, H, W), the sum
    over C, through which no gradient goes. d by `loss_param`: VALID (the default) and FULL N H W, BATCH_SIZE N, NONE 1,
    PRE_FIXED `pre_fixed_normalizer`. Raises for shapes that differ and a normalizer that is not positive.

    Source: smooth_l1_loss_ohem_layer.cpp and .cu of R-FCN's Caffe (Dai et al., 2016), which has no CPU form. Unlike
    SmoothL1Loss it has no sigma, and counts places.
    """

    origin = "R-FCN"
    bottoms: ClassVar[tuple[int, int | None]] = (2, 3)
    tops: ClassVar[tuple[int, int | None]] = (1, 2)
    role = "loss"
    differentiable_bottoms = (0, 1)
    auto_tops = True
    fork_fields: ClassVar[tuple[str, ...]] = ("loss_param.normalization", "loss_param.pre_fixed_normalizer")

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.mode = normalization.mode(self.param.loss_param)
        self.fixed: float = self.param.loss_param.pre_fixed_normalizer
        if self.mode == PRE_FIXED and self.fixed <= 0:
            raise self.error("pre_fixed_normalizer must be positive")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        first = bottom_shapes[0]
        if not 2 <= len(first) <= 4 or any(shape != first for shape in bottom_shapes):
            raise self.shape_error(f"the bottoms must be of one shape (N, C[, H[, W]]), not {bottom_shapes}")
        n, _, h, w = _four(first)
        return [(), (n, 1, h, w)][: max(1, len(self.param.top))]

    def forward(self, a: Tensor, b: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        difference = a - b
        if weights:
            difference = difference * weights[0].detach()
        each = F.smooth_l1_loss(difference, difference.new_zeros(()).expand_as(difference), reduction="none")
        n, _, h, w = shape = _four(tuple(a.shape))
        count = self.fixed if self.mode == PRE_FIXED else normalization.divisor(self.mode, n, h * w, None)
        of_places = each.detach().reshape(shape).sum(1, keepdim=True)
        return (each.sum() / count, of_places)[: max(1, len(self.param.top))]


def _four(shape: Shape) -> Shape:
    return (*shape, 1, 1)[:4]
