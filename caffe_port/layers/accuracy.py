"""Accuracy: how often the label is among the best scores."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register


@register()
class Accuracy(Layer):
    """The share of predictions whose label is among the `top_k` (default 1) highest scores along `axis` (default 1).

    Bottoms: scores (N x C x ...), labels, one a prediction. Tops: the accuracy (), and where a second top is named the
    accuracy a class (C); both are 0 where there is nothing to count. Predictions of `ignore_label` do not count.

    Ties count against the prediction: it is right when fewer than top_k *other* classes score at least as high (so
    scores that are all equal are wrong). A NaN score at the label is right, because no comparison with it holds. A
    label that is no class raises LayerError on the CPU. No gradient passes.

    Source: accuracy_layer.cpp of BVLC Caffe 1.0; older Caffes broke ties by the class's number. Comparing
    `torch.argmax` with the label breaks them in favour of the lower class.
    """

    bottoms = (2, 2)
    tops = (1, 2)
    role = "metric"
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.ignore = label.ignored(self.param.accuracy_param)
        self.top_count = len(self.param.top)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.accuracy_param
        outer, classes, inner = label.around(self, bottom_shapes[0], p.axis)
        label.one_label_each(self, outer, inner, bottom_shapes[1])
        if prod(bottom_shapes[1]) and p.top_k > classes:
            raise self.shape_error(f"top_k {p.top_k} is more than the {classes} classes of {bottom_shapes[0]}")
        return [(), (classes,)][: self.top_count]

    @torch.no_grad()
    def forward(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        p = self.param.accuracy_param
        outer, classes, inner = label.around(self, tuple(scores.shape), p.axis)
        wanted = label.class_labels(self, labels, classes, self.ignore).reshape(outer, 1, inner)
        counts = torch.ones_like(wanted, dtype=torch.bool) if self.ignore is None else wanted != self.ignore
        wanted = wanted.where(counts, wanted.new_zeros(()))

        x = scores.reshape(outer, classes, inner)
        own = x.gather(1, wanted)
        better = (x >= own).sum(1, keepdim=True) - 1
        right = (better < p.top_k) & counts
        overall = right.sum().to(scores.dtype) / counts.sum().clamp(min=1)
        if self.top_count < 2:
            return (overall,)
        none, where = scores.new_zeros(classes), wanted.flatten()
        hits, seen = (none.index_add(0, where, marks.flatten().to(scores.dtype)) for marks in (right, counts))
        return overall, hits / seen.clamp(min=1)
