"""BoxOutput: the regions that MS-CNN's proposal layers suggest."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import detection_onnx, suggested_boxes, suggested_boxes_onnx
from caffe_port.layers.base import Layer, Shape, numbers, register
from caffe_port.layers.reverse import onnx_reverse


@register()
class BoxOutput(Layer):
    """The best boxes of several maps, after suppression.

    Bottoms: maps (N, classes + 4, h, w): scores, the background's first, and the offsets x, y, width, height of a box.
    Each map has a field_w and field_h, its box at rest, and a downsample_rate, the distance of its places in pixels. A
    box's score is the best class's less the background's; those of at least `fg_thr` are moved by their offsets (times
    bbox_reg_param's bbox_std plus bbox_mean), cut to the image, left out where shorter than `min_size`, and suppressed
    where one overlaps a better one by more than `iou_thr` (nms_type: IOU; IOMU, by the lesser's area; IOFU, by the
    better's), of `max_nms_num` boxes, down to `max_post_nms_num` an image; 0 is all. Of equal scores the later comes
    first.

    Tops: (R, 5, 1, 1): image, xmin, ymin, xmax, ymax in pixels; and with the score, (R, 6, 1, 1). Where there is no
    box, one row (0, 1, 1, 10, 10), and one of zeros. R depends on the values; the shape rule gives the most there can
    be. No gradient. Raises for options that are not one a bottom, and maps that do not fit.
    Source: box_output_layer.cpp of MS-CNN (Cai et al., 2016).
    """

    origin = "MS-CNN"
    bottoms: ClassVar[tuple[int, int | None]] = (1, None)
    tops = (1, 2)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.box_output_param
        suggested_boxes.check(self, p)
        if any(len(given) != len(bottom_shapes) for given in (p.field_h, p.field_w, p.downsample_rate)):
            raise self.error(f"give field_h, field_w and downsample_rate {len(bottom_shapes)} times, once a bottom")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        first = bottom_shapes[0]
        for shape in bottom_shapes:
            if len(shape) != 4 or shape[:2] != first[:2] or shape[1] < 6:
                raise self.shape_error(
                    f"maps must be (num, classes + 4, height, width), of 2 classes or more and alike in the first two "
                    f"axes, not {shape}"
                )
        one = [(1, *shape[1:]) for shape in bottom_shapes]
        rows = max(1, first[0] * suggested_boxes.most(one, self.param.box_output_param))
        shapes: list[Shape] = [(rows, 5, 1, 1), (rows, 6, 1, 1)]
        return shapes[: max(1, len(self.param.top))]

    @torch.no_grad()
    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        p = self.param.box_output_param
        all_boxes, all_scores = [], []
        for x, width, height, rate in zip(maps, p.field_w, p.field_h, p.downsample_rate, strict=True):
            low, size = suggested_boxes.spread(x[:, -4:], self, p, [(width, height)], rate)
            (image,) = self.made_once(x, numbers, (x.shape[3] * rate, x.shape[2] * rate))
            low = low.clamp(min=0)
            size = size.minimum(image.reshape(1, 2, 1, 1) - low)
            score = x[:, 1:-4].amax(1) - x[:, 0]
            score = torch.where((score >= p.fg_thr) & (size >= p.min_size).all(1), score, torch.nan)
            all_boxes.append(torch.cat([low, low + size], 1).flatten(2).transpose(1, 2))
            all_scores.append(score.flatten(1))
        # Turned round, for suppression by a stable order: of equal scores the later is first.
        boxes, scores = torch.cat(all_boxes, 1).flip(1), torch.cat(all_scores, 1).flip(1)
        found = []
        for these, mine in zip(boxes, scores, strict=True):
            fits = ~mine.isnan()
            found.append(suggested_boxes.best(these[fits], mine[fits], p, pixels=0))
        return suggested_boxes.tops(self, found, maps[0])

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, ints = self.param.box_output_param, detection_onnx.ints
        all_boxes, all_scores, count = [], [], 0
        for x, wide, high, rate in zip(bottoms, p.field_w, p.field_h, p.downsample_rate, strict=True):
            _, channels, height, width = shape = graph.shape(x)
            background, others, moves = graph.node("Split", [x, ints(graph, 1, channels - 5, 4)], 3, axis=1)
            low, size = suggested_boxes_onnx.spread(graph, self, p, moves, shape, [(wide, high)], rate)
            image = graph.const(np.array([width * rate, height * rate], np.float32), "image")
            low = graph.node("Max", [low, detection_onnx.number(graph, 0)])
            size = graph.node("Min", [size, graph.node("Sub", [image, low])])
            likely = graph.node("ReduceMax", [others], axes=[1], keepdims=1)
            score = suggested_boxes_onnx.numbers_only(graph, graph.node("Sub", [likely, background]), x)
            score = detection_onnx.reshape(graph, score, 0, 1, -1)
            all_boxes.append(graph.node("Concat", [low, graph.node("Add", [low, size])], axis=2))
            all_scores.append(suggested_boxes_onnx.fitting(graph, p, score, size))
            count += height * width
        # Turned round, as in forward: ONNX takes the first of equal scores.
        found, scores = (
            onnx_reverse(graph, graph.node("Concat", parts, axis=axis), [axis])
            for parts, axis in ((all_boxes, 1), (all_scores, 2))
        )
        kept = suggested_boxes_onnx.best(graph, p, found, scores, count, pixels=0)
        suggested_boxes_onnx.tops(graph, kept, found, scores, tops)
