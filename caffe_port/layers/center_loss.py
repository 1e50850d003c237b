"""CenterLoss: how far features lie from the centre of their class."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register


@register()
class CenterLoss(Layer):
    """loss = 1 / (2 N) sum_n |x_n - center[label_n]|^2.

    Bottoms: features x (N, ...), whose axes from `center_loss_param.axis` (1) on are one vector of K numbers; labels, N
    of them, classes 0 to num_output - 1 as floats. Top: the loss (). Blob: center (num_output, K).

    The features' gradient is the derivative. The centres' is Wen's own: the sum over class j of (center_j - x_n),
    divided by 1 + its number of samples, and not multiplied by the loss weight; the blob's rate is then the paper's
    alpha (equation 4). An empty batch gives NaN. Raises without num_output, for another number of labels than N and for
    a label that is no class (CPU).

    Source: center_loss_layer.cpp of ydwen/caffe-face; Wen et al., A Discriminative Feature Learning Approach for Deep
    Face Recognition, 2016.
    """

    origin = "Wen et al. 2016"
    blob_names = ("center",)
    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.center_loss_param
        if p.num_output < 1:
            raise self.error("num_output, the number of classes, must be given and positive")
        axis = self.axis(p.axis, len(bottom_shapes[0]))
        self.add_blob("center", (p.num_output, prod(bottom_shapes[0][axis:])), p.center_filler)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        features, labels = bottom_shapes
        label.same_batch(self, bottom_shapes)
        size = prod(features[self.axis(self.param.center_loss_param.axis, len(features)) :])
        if size != self.center.shape[1] or prod(features) != features[0] * size:
            raise self.shape_error(f"made for {self.center.shape[1]} features a sample, the bottom is {features}")
        if prod(labels) != features[0]:
            raise self.shape_error(f"needs one label a sample, but the labels are {labels} for features {features}")
        return [()]

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        count, size = self.center.shape
        wanted = label.class_labels(self, labels, count).reshape(-1)
        return _CenterLoss.apply(features.reshape(-1, size), self.center, wanted)


class _CenterLoss(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, center: Tensor, labels: Tensor) -> Tensor:
        return (x - center[labels]).square().sum() / (2 * len(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, center, labels = ctx.saved_tensors
        away = x - center[labels]
        sums = torch.zeros_like(center).index_add_(0, labels, -away)
        counts = torch.bincount(labels, minlength=len(center)).to(x)
        return grad * away / len(x), sums / (1 + counts[:, None]), None
