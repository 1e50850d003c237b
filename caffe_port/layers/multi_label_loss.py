"""MultiLabelLoss: weighted binary cross-entropies over labels 1 (there), -1 (not there) and 0 (unknown)."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register


@register()
class MultiLabelLoss(Layer):
    """loss = -1/N sum (exp(1 - w_i) log s(x_ni) for a positive label, exp(w_i) log(1 - s(x_ni)) for a negative one).

    s is the sigmoid. Bottoms: scores x (N, ...), labels of the same count: positive, negative, or 0, which costs
    nothing. Top: the loss (), NaN for an empty batch. w_i, the positive rate of attribute i, is
    `multilabel_loss_param.weight`, once for each of the numbers of a sample; left out, it is 0.5 for all: every term
    then counts exp(0.5), not 1. Raises for another number of weights.

    Source: multi_label_loss_layer.cpp of RAP's Caffe; DeepMAR, Li et al., 2015, equation 3. Other Caffes have a layer
    of this name without weights: their loss is this one's divided by exp(0.5).
    """

    origin = "RAP"
    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        given = list(self.param.multilabel_loss_param.weight)
        rates = torch.tensor(given or [0.5], dtype=torch.float64)
        # A buffer follows the net to its device; it is no blob of Caffe's, so weights files do not hold it.
        self.register_buffer("rates", rates, persistent=False)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        scores, labels = bottom_shapes
        if prod(scores) != prod(labels):
            raise self.shape_error(f"scores {scores} and labels {labels} must have the same count")
        given = len(self.param.multilabel_loss_param.weight)
        if given not in (0, prod(scores[1:])):
            raise self.shape_error(f"{given} weights for scores {scores}; there must be {prod(scores[1:])}, or none")
        return [()]

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        x = scores.flatten(1) if scores.dim() > 1 else scores[:, None]
        wanted = labels.detach().reshape(x.shape)
        rates = self.rates.to(x.dtype)
        weight = torch.where(wanted > 0, (1 - rates).exp(), rates.exp()) * (wanted != 0)
        target = (wanted > 0).to(x.dtype)
        return F.binary_cross_entropy_with_logits(x, target, weight, reduction="sum") / len(x)
