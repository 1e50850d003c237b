"""InfogainLoss: the cross-entropy of a softmax, weighted by a matrix of what each mistake costs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers import normalization
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.proto import binary


@register()
class InfogainLoss(Layer):
    """loss = -1/d sum_i sum_k H[label_i, k] log max(p_ik, 1e-20), p = softmax of the scores along `axis` (default 1).

    Bottoms: scores (N x K x ...), labels (one a prediction), and H (K * K values) unless `infogain_loss_param.source`
    names a binaryproto that holds it; a third bottom wins. Tops: the loss (), and the probabilities where a second top
    is named. d: see normalization.py; the old `normalize` is refused, as in Caffe.

    The gradient is p_k sum_l H[label, l] - H[label, k], also where the clamp acts; only the scores get one. A label
    that is no class raises LayerError on the CPU.

    Source: infogain_loss_layer.cpp of BVLC Caffe 1.0. With H the identity it is SoftmaxWithLoss (but for the clamp).
    """

    bottoms = (2, 3)
    tops = (1, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True
    layers_inside = 1

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.ignore = label.ignored(self.param.loss_param)
        self.mode = normalization.mode(self.param.loss_param)
        self.top_count = max(1, len(self.param.top))
        if self.param.loss_param.HasField("normalize"):
            raise self.error("'normalize' is not an option of this loss; use 'normalization'")
        if len(bottom_shapes) == 2:
            source = self.param.infogain_loss_param.source
            if not source:
                raise self.error('needs the matrix H: a third bottom, or infogain_loss_param { source: "file" }')
            matrix = torch.tensor(binary.read_blob(source), dtype=torch.get_default_dtype())
            self.register_buffer("matrix", matrix, persistent=False)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        outer, classes, inner = label.around(self, bottom_shapes[0], self.param.infogain_loss_param.axis)
        label.one_label_each(self, outer, inner, bottom_shapes[1])
        matrix = bottom_shapes[2] if len(bottom_shapes) > 2 else tuple(self.matrix.shape)
        if math.prod(matrix) != classes * classes:
            raise self.shape_error(f"H is {matrix}, but {classes} classes need {classes} x {classes} values")
        return [(), bottom_shapes[0]][: self.top_count]

    def forward(self, scores: Tensor, labels: Tensor, matrix: Tensor | None = None) -> tuple[Tensor, ...]:
        axis = self.param.infogain_loss_param.axis
        outer, classes, inner = label.around(self, tuple(scores.shape), axis)
        wanted = label.class_labels(self, labels, classes, self.ignore).reshape(outer, inner)
        cost = (self.matrix if matrix is None else matrix.detach()).to(scores.dtype).reshape(classes, classes)

        log_p = scores.reshape(outer, classes, inner).log_softmax(1)
        log_p = label.floor(log_p, math.log(label.LOG_THRESHOLD)).movedim(1, 2)
        valid = None if self.ignore is None else wanted != self.ignore
        rows = cost[wanted if valid is None else wanted.where(valid, wanted.new_zeros(()))]
        each = -(rows * log_p).sum(2)
        if valid is not None:
            each = each.where(valid, each.new_zeros(()))
        loss = each.sum() / normalization.divisor(self.mode, outer, inner, valid)
        if self.top_count < 2:
            return (loss,)
        return loss, scores.detach().softmax(axis)
