"""HingeLoss: one-against-all hinges."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.proto import caffe_pb2


@register()
class HingeLoss(Layer):
    """loss = 1/N sum_n sum_k max(0, 1 - d_nk x_nk)^p with d = 1 for the label's class and -1 for all others.

    p is 1 (`hinge_loss_param { norm: L1 }`, the default) or 2 (L2). Bottoms: scores x (N x K; further axes are
    flattened into the classes), N labels. Top: the loss (). At the kink the gradient is 0. An empty batch gives NaN,
    and so does a NaN score (Caffe takes it for a hinge at rest, 0).

    With a loss_weight of 0 it changes no gradient. In Caffe it does, where other layers read the scores too: forward
    leaves its margins in the scores' diff, and without a backward of its own they stay there and are added in.

    Source: hinge_loss_layer.cpp of BVLC Caffe 1.0. Unlike `F.multi_margin_loss`: every class against zero, no class
    against another; divided by N only.
    """

    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        label.one_label_each(self, bottom_shapes[0][0], 1, bottom_shapes[1])
        return [()]

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        batch, classes = scores.shape[0], prod(scores.shape[1:])
        x = scores.reshape(batch, classes)
        wanted = label.class_labels(self, labels, classes).reshape(batch, 1)
        margin = (1 + x * torch.ones_like(x).scatter(1, wanted, -1)).relu()
        if self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
            margin = margin * margin
        return margin.sum() / batch
