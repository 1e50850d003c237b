"""SoftmaxWithLoss: the multinomial logistic loss of the softmax of its input."""

from __future__ import annotations

import math
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers import normalization
from caffe_port.layers.base import Layer, Shape, numbers, register

FLT_MIN = 2.0**-126
NO_LABEL = -(2**62)
"""An ignore_index that no label can be: torch's own default, -100, would let a wrong label -100 pass in silence."""


@register()
class SoftmaxWithLoss(Layer):
    """loss = -1/d sum_i log max(p_i[label_i], FLT_MIN), p = softmax of the scores along `softmax_param.axis`.

    Bottoms: scores (N x C x ...), labels: as many as there are scores without the class axis (N x 1 x H x W and N x H x
    W both do), classes 0 to C-1 as floats. Tops: the loss (), and the probabilities (like the scores) where a second
    top is named. d: see normalization.py; default VALID. Pixels of `loss_param.ignore_label` cost nothing and get no
    gradient.

    The gradient is p - onehot(label), also where the clamp at FLT_MIN acts. No gradient enters by the probabilities or
    leaves to the labels, as in Caffe. A label that is no class raises LayerError on the CPU.

    SegNet's `weight_by_label_freqs`: each pixel's cost times the `class_weighting` of its label, of which there is one
    a class; d counts pixels as before.

    Source: softmax_loss_layer.cpp of caffe-segnet (Badrinarayanan et al., 2015), and of BVLC Caffe 1.0, whose second
    top aborts when it comes with a loss weight; here it works. Unlike `F.cross_entropy`: the clamp (at most 87.34 a
    prediction, never inf), the divisor, any axis.
    """

    bottoms = (2, 2)
    tops = (1, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True
    layers_inside = 1
    fork_fields: ClassVar[tuple[str, ...]] = ("loss_param.weight_by_label_freqs", "loss_param.class_weighting")

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.ignore = label.ignored(self.param.loss_param)
        self.mode = normalization.mode(self.param.loss_param)
        self.top_count = max(1, len(self.param.top))
        p = self.param.loss_param
        self.weights = tuple(p.class_weighting) if p.weight_by_label_freqs else ()
        classes = label.around(self, bottom_shapes[0], self.param.softmax_param.axis)[1]
        if p.weight_by_label_freqs and len(self.weights) != classes:
            given = len(self.weights)
            raise self.error(f"weight_by_label_freqs needs class_weighting for each of {classes} classes, not {given}")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        outer, _, inner = label.around(self, bottom_shapes[0], self.param.softmax_param.axis)
        label.one_label_each(self, outer, inner, bottom_shapes[1])
        return [(), bottom_shapes[0]][: self.top_count]

    def forward(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        axis = self.param.softmax_param.axis
        outer, classes, inner = label.around(self, tuple(scores.shape), axis)
        wanted = label.class_labels(self, labels, classes, self.ignore).reshape(outer, inner)
        each = F.cross_entropy(
            scores.reshape(outer, classes, inner),
            wanted,
            reduction="none",
            ignore_index=NO_LABEL if self.ignore is None else self.ignore,
        )
        each = -label.floor(-each, math.log(FLT_MIN))
        if self.weights:
            (weights,) = self.made_once(each, numbers, self.weights)
            each = each * weights[wanted.clamp(0, classes - 1)]
        valid = None if self.ignore is None else wanted != self.ignore
        loss = each.sum() / normalization.divisor(self.mode, outer, inner, valid)
        if self.top_count < 2:
            return (loss,)
        return loss, scores.detach().softmax(axis)
