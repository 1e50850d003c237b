"""MultiLabelAccuracy: the seven measures of a batch of pedestrian attributes."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register


@register()
class MultiLabelAccuracy(Layer):
    """Bottoms: scores (N, ...), positive from 0 on, and labels of the same shape: 1, -1, or 0 where unknown.

    Top (1, 7, 1, 1): by attribute, averaged over the attributes, the share of positives and of negatives found and the
    mean of the two (0 for an attribute that the batch does not have); by sample, averaged over those that have a true
    and a predicted positive, accuracy |Y & P| / |Y or P|, precision |Y & P| / |P| and recall |Y & P| / |Y|; and F1, of
    these averages. With no such sample the four are 0; with none of them right F1 is NaN, as in Caffe. An unknown label
    is no positive here. Labels are cut to whole numbers. No gradient passes. Raises for other shapes and empty batches.

    Source: multi_label_accuracy_layer.cpp of RAP's Caffe; Li et al., A Richly Annotated Dataset for Pedestrian
    Attribute Recognition, 2016. A mean over batches is not the measure over the data set: par/metrics.py has that.
    """

    origin = "RAP"
    bottoms = (2, 2)
    role = "metric"
    differentiable_bottoms = ()

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        scores, labels = bottom_shapes
        if scores != labels or prod(scores) == 0:
            raise self.shape_error(f"scores and labels must have one shape, with numbers; they are {scores}, {labels}")
        return [(1, 7, 1, 1)]

    @torch.no_grad()
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        n = len(scores)
        predicted, wanted = scores.reshape(n, -1) >= 0, labels.reshape(n, -1).trunc()
        shares = []
        for there, right in ((wanted > 0, predicted), (wanted < 0, ~predicted)):
            shares.append((there & right).sum(0).to(scores.dtype) / there.sum(0).clamp(min=1))
        positive, negative = (share.mean() for share in shares)

        true = wanted == 1
        both, either = (true & predicted).sum(1), (true | predicted).sum(1)
        counts = true.any(1) & predicted.any(1)
        ratios = torch.stack([both / size.clamp(min=1) for size in (either, predicted.sum(1), true.sum(1))])
        accuracy, precision, recall = (ratios * counts).sum(1).to(scores.dtype) / counts.sum().clamp(min=1)
        f1 = torch.where(counts.any(), 2 * precision * recall / (precision + recall), 0)
        measures = [positive, negative, (positive + negative) / 2, accuracy, precision, recall, f1]
        return torch.stack(measures).reshape(1, 7, 1, 1)
