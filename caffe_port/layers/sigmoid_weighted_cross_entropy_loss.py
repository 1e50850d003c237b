"""SigmoidWeightedCrossEntropyLoss: plain binary cross-entropies whose gradient alone is weighted."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register


@register()
class SigmoidWeightedCrossEntropyLoss(Layer):
    """loss = -1/N sum t log s(x) + (1 - t) log(1 - s(x)), s the sigmoid: not weighted. The gradient is.

    Bottoms: scores x (N, ...), targets t and weights w of the same count; w is the positive rate of the attribute,
    strictly between 0 and 1 (0 and 1 give infinite gradients, as in Caffe). Top: the loss (), NaN for an empty batch.

    Gradient of x: 1/N ((1 - t) s(x) / (2 (1 - w)) - t (1 - s(x)) / (2 w)), which is that of WPAL's weighted loss
    -1/N sum t log s(x) / (2 w) + (1 - t) log(1 - s(x)) / (2 (1 - w)), not of the value shown. None to t and w.

    Source: sigmoid_weighted_cross_entropy_loss_layer.cpp of kyu-sz/caffe (WPAL-network, Zhou et al., 2017); the value
    is its code's too. Another Caffe has a layer of this name with one weight a sample, which this is not.
    """

    origin = "WPAL"
    bottoms = (3, 3)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True
    layers_inside = 1

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        scores, *others = bottom_shapes
        for what, shape in zip(("targets", "weights"), others, strict=True):
            if prod(shape) != prod(scores):
                raise self.shape_error(f"scores {scores} and {what} {shape} must have the same count")
        return [()]

    def forward(self, scores: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        t, w = (other.detach().reshape(scores.shape) for other in (targets, weights))
        return _Loss.apply(scores, t, w)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, t: Tensor, w: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, t, reduction="sum") / len(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, t, w = ctx.saved_tensors
        s = x.sigmoid()
        each = (1 - t) * s / (2 * (1 - w)) - t * (1 - s) / (2 * w)
        return grad * each / len(x), None, None
