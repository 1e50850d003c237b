"""FocalLoss: the softmax loss, with less weight on what is right already."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers import normalization
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.softmax_with_loss import FLT_MIN
from caffe_port.proto import caffe_pb2


@register()
class FocalLoss(Layer):
    """loss = -alpha / d sum_i (1 - p_i)^gamma log max(p_i, FLT_MIN), p_i the softmax's value at the label.

    Bottoms: scores (N x C x ...), labels, one a prediction, classes 0 to C-1 as floats. Tops: the loss (), and the
    probabilities where a second top is named. `focal_loss_param`: alpha (0.25) for all classes, gamma (2). The class
    axis is `softmax_param.axis`; d and ignore_label as in SoftmaxWithLoss.

    The gradient is the derivative where p < 1, and the value it tends to elsewhere. Raises for gamma < 0, alpha <= 0, a
    label that is no class (CPU), and for type LINEAR, which its Caffe declares and computes as ORIGIN.

    Source: focal_loss_layer.cpp of zimenglan-sysu-512/Focal-Loss; Lin et al., 2017, who take the sigmoid instead.
    """

    origin = "zimenglan-sysu-512/Focal-Loss"
    bottoms = (2, 2)
    tops = (1, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True
    layers_inside = 1

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.focal_loss_param
        if p.type != caffe_pb2.FocalLossParameter.ORIGIN:
            raise self.unsupported("type LINEAR; ORIGIN can be done")
        if p.gamma < 0 or p.alpha <= 0:
            raise self.error(f"gamma {p.gamma:g} must not be negative, alpha {p.alpha:g} must be positive")
        self.ignore = label.ignored(self.param.loss_param)
        self.mode = normalization.mode(self.param.loss_param)
        self.top_count = max(1, len(self.param.top))

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        outer, _, inner = label.around(self, bottom_shapes[0], self.param.softmax_param.axis)
        label.one_label_each(self, outer, inner, bottom_shapes[1])
        return [(), bottom_shapes[0]][: self.top_count]

    def forward(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        p, axis = self.param.focal_loss_param, self.param.softmax_param.axis
        outer, classes, inner = label.around(self, tuple(scores.shape), axis)
        wanted = label.class_labels(self, labels, classes, self.ignore).reshape(outer, 1, inner)
        valid = None if self.ignore is None else wanted != self.ignore
        if valid is not None:
            wanted = wanted.where(valid, wanted.new_zeros(()))
        chosen = scores.reshape(outer, classes, inner).softmax(1).gather(1, wanted)
        each = _Focal.apply(chosen, p.alpha, p.gamma)
        if valid is not None:
            each = each.where(valid, each.new_zeros(()))
        loss = each.sum() / normalization.divisor(self.mode, outer, inner, valid)
        return (loss,) if self.top_count < 2 else (loss, scores.detach().softmax(axis))


class _Focal(torch.autograd.Function):
    """-alpha (1 - p)^gamma log p, with Caffe's guards: log of at least FLT_MIN, division by at least 1e-10."""

    @staticmethod
    def forward(p: Tensor, alpha: float, gamma: float) -> Tensor:
        return -alpha * (1 - p) ** gamma * p.clamp(min=FLT_MIN).log()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        p, ctx.alpha, ctx.gamma = inputs
        ctx.save_for_backward(p)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (p,) = ctx.saved_tensors
        power = ctx.alpha * (1 - p) ** ctx.gamma
        at_least = p.clamp(min=FLT_MIN)
        slope = ctx.gamma * power / (1 - p).clamp(min=1e-10) * at_least.log() - power / at_least
        return grad * slope, None, None
