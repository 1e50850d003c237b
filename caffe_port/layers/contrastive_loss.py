"""ContrastiveLoss: pulls similar pairs together, pushes dissimilar pairs apart to a margin."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register

DISTANCE_FLOOR = 1e-4
"""What Caffe adds to a distance that it divides by, in the gradient only."""


@register()
class ContrastiveLoss(Layer):
    """loss = 1/(2N) sum_n y_n d_n^2 + (1 - y_n) max(margin - d_n, 0)^2, d_n = |a_n - b_n|.

    With `legacy_version: true` the second term is max(margin - d_n^2, 0), unsquared. Bottoms: a, b (N x C, or N x C x 1
    x 1), and N labels y: not 0 (cut to a whole number) for similar. Top: the loss (). `margin` defaults to 1.

    The gradient to a of a dissimilar pair is -(margin - d)/(d + 1e-4) (a - b)/N inside the margin, Caffe's own, which
    the 1e-4 keeps finite at d = 0 and which is not quite the derivative; b gets the negative. An empty batch gives
    NaN, and so does a NaN in a or b (in a dissimilar pair without a gradient).

    Source: contrastive_loss_layer.cpp of BVLC Caffe 1.0. torch has no such operation on pairs of vectors.
    """

    bottoms = (3, 3)
    role = "loss"
    differentiable_bottoms = (0, 1)
    auto_tops = True

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        a, b, similar = bottom_shapes
        if a[1:2] != b[1:2] or prod(a[2:]) != 1 or prod(b[2:]) != 1:
            raise self.shape_error(f"{a} and {b} must both be N x C, or N x C x 1 x 1, with the same C")
        if prod(similar) != a[0]:
            raise self.shape_error(f"labels {similar} must be one a pair: {a[0]}")
        return [()]

    def forward(self, a: Tensor, b: Tensor, similar: Tensor) -> Tensor:
        p = self.param.contrastive_loss_param
        rows = (a.shape[0], prod(a.shape[1:]))
        alike = similar.detach().trunc().reshape(-1) != 0
        return _Contrast.apply(a.reshape(rows), b.reshape(rows), alike, p.margin, p.legacy_version)


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, alike: Tensor, margin: float, legacy: bool) -> Tensor:
        difference = a - b
        squared = (difference * difference).sum(1)
        if legacy:
            cost = gap = margin - squared
            slope = torch.full_like(squared, -1)
        else:
            distance = squared.sqrt()
            gap = margin - distance
            cost = gap * gap
            slope = -gap / (distance + DISTANCE_FLOOR)
        nothing = torch.zeros_like(squared)
        apart = gap > 0
        slope = torch.where(alike, torch.ones_like(squared), torch.where(apart, slope, nothing))
        ctx.save_for_backward(difference * (slope / a.shape[0]).unsqueeze(1) if a.shape[0] else difference)
        beyond = gap <= 0  # and not ~apart: a NaN distance costs NaN
        return torch.where(alike, squared, torch.where(beyond, nothing, cost)).sum() / a.shape[0] / 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return grad * slope, -grad * slope, None, None, None
