"""SigmoidCrossEntropyLoss: independent binary cross-entropies, one a score."""

from __future__ import annotations

from math import prod

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers import normalization
from caffe_port.layers.base import Layer, Shape, register


@register()
class SigmoidCrossEntropyLoss(Layer):
    """loss = -1/d sum_i t_i log s(x_i) + (1 - t_i) log(1 - s(x_i)), s the sigmoid.

    Bottoms: scores x (N x ...), targets t of the same count and the same N, usually in [0, 1] but any number is taken.
    Top: the loss (). d: see normalization.py, with its own default BATCH_SIZE: summed over a sample, averaged over N.
    Targets that, cut to whole numbers, are `loss_param.ignore_label` cost nothing (so 0.3 is ignored where 0 is).

    The gradient is s(x) - t; targets get none. Source: sigmoid_cross_entropy_loss_layer.cpp of BVLC Caffe 1.0. Unlike
    `F.binary_cross_entropy_with_logits`: the divisor, and the label to ignore.
    """

    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.ignore = label.ignored(self.param.loss_param)
        self.mode = normalization.mode(self.param.loss_param, default=normalization.BATCH_SIZE)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        scores, targets = bottom_shapes
        if prod(scores) != prod(targets):
            raise self.shape_error(f"scores {scores} and targets {targets} must have the same count")
        return [()]

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        wanted = targets.detach().reshape(scores.shape)
        each = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        valid = None if self.ignore is None else wanted.trunc() != self.ignore
        if valid is not None:
            each = each.where(valid, each.new_zeros(()))
        return each.sum() / normalization.divisor(self.mode, scores.shape[0], prod(scores.shape[1:]), valid)
