"""EuclideanLoss: half the mean squared distance of two blobs."""

from __future__ import annotations

from math import prod

from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register


@register()
class EuclideanLoss(Layer):
    """loss = 1/(2N) sum (a - b)^2.

    Bottoms: a and b (N x ...), the same N and the same count a sample (the shapes may differ). Top: the loss ().
    Both bottoms get gradients: (a - b)/N and its negative. An empty batch gives NaN (0/0).

    Source: euclidean_loss_layer.cpp of BVLC Caffe 1.0. Unlike `F.mse_loss`: halved, and divided by N and not by the
    count.
    """

    bottoms = (2, 2)
    role = "loss"
    auto_tops = True

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        a, b = bottom_shapes
        if prod(a[1:]) != prod(b[1:]):
            raise self.shape_error(f"{a} and {b} must have the same count after the first axis")
        return [()]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        difference = a - b.reshape(a.shape)
        return (difference * difference).sum() / a.shape[0] / 2
