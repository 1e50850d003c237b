"""SoftmaxWithLossOHEM: R-FCN's SoftmaxWithLoss, with the loss of every region for BoxAnnotatorOHEM."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Shape, register
from caffe_port.layers.softmax_with_loss import FLT_MIN, SoftmaxWithLoss


@register()
class SoftmaxWithLossOHEM(SoftmaxWithLoss):
    """As SoftmaxWithLoss, with a third top like the labels: the loss of every one, 0 for those that are ignored.

    No gradient goes through the second and third top. PRE_FIXED is refused, as that layer has no value for it.
    Source: softmax_loss_ohem_layer.cpp and .cu of R-FCN's Caffe (Dai et al., 2016).
    """

    origin = "R-FCN"
    tops = (1, 3)
    fork_fields: ClassVar[tuple[str, ...]] = ()  # SegNet's weights of classes are not for it

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return [*super().top_shapes(bottom_shapes), bottom_shapes[1]][: self.top_count]

    def forward(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        tops = super().forward(scores, labels)
        if self.top_count < 3:
            return tops
        axis = self.param.softmax_param.axis
        outer, classes, inner = label.around(self, tuple(scores.shape), axis)
        wanted = labels.detach().long().reshape(outer, 1, inner)
        valid = torch.ones_like(wanted, dtype=torch.bool) if self.ignore is None else wanted != self.ignore
        chances = tops[1].reshape(outer, classes, inner).gather(1, torch.where(valid, wanted, 0))
        each = torch.where(valid, -chances.clamp(min=FLT_MIN).log(), 0)
        return (*tops, each.reshape(labels.shape))
