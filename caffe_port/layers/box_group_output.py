"""BoxGroupOutput: the regions that Cascade R-CNN's proposal networks suggest."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import detection_onnx, suggested_boxes, suggested_boxes_onnx
from caffe_port.layers.base import Layer, Shape, numbers, register


@register()
class BoxGroupOutput(Layer):
    """The best boxes of several groups of maps, after suppression.

    Bottoms: for each box_group_param, probabilities (N G, classes, h, w), the background's first, and offsets (N G, 4,
    h, w) x, y, width, height; G its number of fields (field_w, field_h), the boxes at rest, which take turns along the
    first axis, and `stride` the distance of the places in pixels. A box's score is 1 less the background's; those of at
    least `fg_thr` are moved by their offsets (times bbox_reg_param's bbox_std plus bbox_mean), cut to the image, left
    out where shorter than `min_size`, and suppressed as in BoxOutput, whose options are the same.

    Boxes count whole pixels: xmax is xmin + width - 1, overlaps are of spans one longer. Tops: (R, 5, 1, 1): image,
    xmin, ymin, xmax, ymax in pixels; and with the score, (R, 6, 1, 1). Where there is no box, one row (0, 1, 1, 10,
    10), and one of zeros. R depends on the values; the shape rule gives the most there can be. No gradient. Of equal
    scores the first is first, where its Caffe's sort says nothing. Raises for bottoms that do not fit their group.
    Source: box_group_output_layer.cpp of Cascade R-CNN (Cai and Vasconcelos, 2018).
    """

    origin = "Cascade R-CNN"
    bottoms: ClassVar[tuple[int, int | None]] = (2, None)
    tops = (1, 2)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.box_group_output_param
        suggested_boxes.check(self, p)
        if len(bottom_shapes) != 2 * len(p.box_group_param):
            groups = len(p.box_group_param)
            raise self.error(f"{groups} box_group_param want two bottoms each, not {len(bottom_shapes)}")
        for group in p.box_group_param:
            if not group.field_h or len(group.field_h) != len(group.field_w) or not group.stride:
                raise self.error("each box_group_param needs a stride, and as many field_h as field_w")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        groups = self.param.box_group_output_param.box_group_param
        images = {shape[0] / len(g.field_h) for shape, g in zip(bottom_shapes[::2], groups, strict=True) if shape}
        for scores, offsets in zip(bottom_shapes[::2], bottom_shapes[1::2], strict=True):
            if len(scores) != 4 or offsets != (scores[0], 4, *scores[2:]) or not scores[1]:
                raise self.shape_error(f"wants (n, classes, h, w) and (n, 4, h, w), not {scores} and {offsets}")
        if len(images) != 1 or min(images) % 1:
            raise self.shape_error("the first axes must be the number of images times that of the group's fields")
        n = int(min(images))
        whole = [(len(g.field_h), *s[1:]) for s, g in zip(bottom_shapes[::2], groups, strict=True)]
        rows = max(1, n * suggested_boxes.most(whole, self.param.box_group_output_param))
        shapes: list[Shape] = [(rows, 5, 1, 1), (rows, 6, 1, 1)]
        return shapes[: max(1, len(self.param.top))]

    @torch.no_grad()
    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        p = self.param.box_group_output_param
        all_boxes, all_scores = [], []
        for scores, offsets, group in zip(bottoms[::2], bottoms[1::2], p.box_group_param, strict=True):
            fields = list(zip(group.field_w, group.field_h, strict=True))
            low, size = suggested_boxes.spread(offsets, self, p, fields, group.stride)
            _, _, height, width = offsets.shape
            (image,) = self.made_once(offsets, numbers, (width * group.stride, height * group.stride))
            low, high = low.clamp(min=0), (low + size - 1).minimum(image.reshape(1, 2, 1, 1))
            score = 1 - scores[:, 0]
            score = torch.where((score >= p.fg_thr) & (high - low + 1 >= p.min_size).all(1), score, torch.nan)
            n = len(offsets) // len(fields)
            all_boxes.append(torch.cat([low, high], 1).flatten(2).transpose(1, 2).reshape(n, -1, 4))
            all_scores.append(score.reshape(n, -1))
        found = []
        for these, mine in zip(torch.cat(all_boxes, 1), torch.cat(all_scores, 1), strict=True):
            fits = ~mine.isnan()
            found.append(suggested_boxes.best(these[fits], mine[fits], p, pixels=1))
        return suggested_boxes.tops(self, found, bottoms[0])

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, number = self.param.box_group_output_param, detection_onnx.number
        all_boxes, all_scores, count = [], [], 0
        for scores, offsets, group in zip(bottoms[::2], bottoms[1::2], p.box_group_param, strict=True):
            fields = list(zip(group.field_w, group.field_h, strict=True))
            _, _, height, width = shape = graph.shape(offsets)
            low, size = suggested_boxes_onnx.spread(graph, self, p, offsets, shape, fields, group.stride)
            image = graph.const(np.array([width * group.stride, height * group.stride], np.float32), "image")
            high = graph.node("Sub", [graph.node("Add", [low, size]), number(graph, 1)])
            low, high = graph.node("Max", [low, number(graph, 0)]), graph.node("Min", [high, image])
            cut = graph.node("Add", [graph.node("Sub", [high, low]), number(graph, 1)])
            background = graph.node("Gather", [scores, detection_onnx.ints(graph, 0)], axis=1)
            score = graph.node("Sub", [number(graph, 1), background])
            score = suggested_boxes_onnx.numbers_only(graph, score, offsets)
            score = detection_onnx.reshape(graph, score, -1, 1, len(fields) * height * width)
            all_boxes.append(graph.node("Concat", [low, high], axis=2))
            all_scores.append(suggested_boxes_onnx.fitting(graph, p, score, cut))
            count += len(fields) * height * width
        found, ranked = graph.node("Concat", all_boxes, axis=1), graph.node("Concat", all_scores, axis=2)
        kept = suggested_boxes_onnx.best(graph, p, found, ranked, count, pixels=1)
        suggested_boxes_onnx.tops(graph, kept, found, ranked, tops)
