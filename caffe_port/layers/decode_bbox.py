"""DecodeBBox: regions moved by the offsets that a head predicts for them, for the next stage of a cascade."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import suggested_boxes
from caffe_port.layers.base import TRAIN, Layer, Shape, numbers, register


@register()
class DecodeBBox(Layer):
    """Bottoms: offsets (R, 8), of which the last four, x, y, width, height, are the object's; regions (R, 5): image,
    xmin, ymin, xmax, ymax in pixels, both ends included. Top, like the regions: each with its centre moved by its width
    and height times x and y, and these times exp(width) and exp(height); offsets times bbox_reg_param's bbox_std plus
    bbox_mean.

    TRAIN: regions that end before they start are left out, and those whose row in a third bottom (R, ...) ends in a
    number of at least `gt_iou_thr`, their overlap with a true box; LayerError where none is left. So rows depend on the
    values; the shape rule takes all. No gradient. Raises for a third bottom in TEST.
    Source: decode_bbox_layer.cpp of MS-CNN and Cascade R-CNN (Cai et al., 2016 and 2018).
    """

    origin = "Cascade R-CNN"
    bottoms = (2, 3)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.normalisation = suggested_boxes.normalisation(self)
        if len(bottom_shapes) > 2 and self.phase != TRAIN:
            raise self.error("the third bottom, overlaps with true boxes, is for the TRAIN phase")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        for shape, width in zip(bottom_shapes, (8, 5), strict=False):
            if len(shape) < 2 or shape[0] != bottom_shapes[0][0] or shape[1] != width or any(d != 1 for d in shape[2:]):
                given = " and ".join(map(str, bottom_shapes[:2]))
                raise self.shape_error(f"wants offsets (R, 8) and regions (R, 5), not {given}")
        if len(bottom_shapes) > 2 and (not bottom_shapes[2] or bottom_shapes[2][0] != bottom_shapes[0][0]):
            raise self.shape_error(f"wants a row of the third bottom for every region, not {bottom_shapes[2]}")
        return [(*bottom_shapes[1][:2], 1, 1)]

    @torch.no_grad()
    def forward(self, offsets: Tensor, regions: Tensor, true: Tensor | None = None) -> Tensor:
        mean, deviation = self.made_once(offsets, numbers, *self.normalisation)
        moves, regions = offsets.flatten(1)[:, 4:] * deviation + mean, regions.flatten(1)
        low, high = regions[:, 1:3], regions[:, 3:]
        size = high - low + 1
        centre, grown = (low + high) / 2 + moves[:, :2] * size, size * moves[:, 2:].exp()
        start = centre - (grown - 1) / 2
        made = torch.cat([regions[:, :1], start, start + grown - 1], 1)
        if self.phase == TRAIN:
            fits = (made[:, 1:3] <= made[:, 3:]).all(1)
            if true is not None:
                fits &= true.flatten(1)[:, -1] < self.param.decode_bbox_param.gt_iou_thr
            if not fits.any():
                raise self.error("no region is left; the rate may be too high")
            made = made[fits]
        return made[..., None, None]

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        def ints(*values: int) -> str:
            return graph.const(np.array(values, np.int64), "ints")

        def number(*values: float) -> str:
            return graph.const(np.array(values, np.float32), "number")

        offsets, regions = (graph.node("Reshape", [b, ints(-1, n)]) for b, n in zip(bottoms, (8, 5), strict=True))
        mean, deviation = self.normalisation
        (_, own) = graph.node("Split", [offsets, ints(4, 4)], 2, axis=1)
        moves = graph.node("Add", [graph.node("Mul", [own, number(*deviation)]), number(*mean)])
        move, grow = graph.node("Split", [moves, ints(2, 2)], 2, axis=1)
        image, low, high = graph.node("Split", [regions, ints(1, 2, 2)], 3, axis=1)
        size = graph.node("Add", [graph.node("Sub", [high, low]), number(1)])
        middle = graph.node("Mul", [graph.node("Add", [low, high]), number(0.5)])
        centre = graph.node("Add", [middle, graph.node("Mul", [move, size])])
        grown = graph.node("Sub", [graph.node("Mul", [size, graph.node("Exp", [grow])]), number(1)])
        start = graph.node("Sub", [centre, graph.node("Mul", [grown, number(0.5)])])
        made = graph.node("Concat", [image, start, graph.node("Add", [start, grown])], axis=1)
        graph.node("Reshape", [made, ints(-1, 5, 1, 1)], tops)
