"""Reorg: pixels of a plane to channels, as darknet orders them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


@register()
class Reorg(Layer):
    """(N, C, H, W) to (N, C s^2, H / s, W / s), s = `stride`; with `reverse` to (N, C / s^2, H s, W s).

    As darknet does it: the memory of an image is taken for one of C / s^2 channels of H s by W s, of which channel
    (i s + j) C / s^2 + c of C holds the pixels (i, j) of every s by s block of channel c; the result's memory is then
    taken for the top's shape. `reverse` puts channels back into blocks: not the inverse of the above.

    Raises where stride is not given, s^2 does not divide C, or s does not divide H and W. Source: reorg_layer.hpp of
    MobileNet-YOLO, after reorg_layer.c of darknet (Redmon and Farhadi, YOLO9000, 2016). Its backward pass reads a
    buffer that nothing fills; here it is the derivative. ONNX's SpaceToDepth orders otherwise.
    """

    origin = "YOLOv2"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if not self.param.reorg_param.stride:
            raise self.error("give stride, and make it positive")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        s, reverse = self.param.reorg_param.stride, self.param.reorg_param.reverse
        if len(bottom_shapes[0]) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width): {bottom_shapes[0]}")
        n, c, h, w = bottom_shapes[0]
        if c % s**2:
            raise self.shape_error(f"stride {s} wants channels in multiples of {s**2}, not {c}")
        if reverse:
            return [(n, c // s**2, h * s, w * s)]
        if h % s or w % s:
            raise self.shape_error(f"stride {s} does not divide the plane ({h}, {w})")
        return [(n, c * s**2, h // s, w // s)]

    def steps(self, shape: Shape) -> tuple[list[int], list[int], list[int]]:
        """The shape without the batch, the order of axes and the shape of the top, that this is made of."""
        s, (_, c, h, w) = self.param.reorg_param.stride, shape
        top = list(self.top_shapes([shape])[0][1:])
        if self.param.reorg_param.reverse:
            return [s, s, c // s**2, h, w], [0, 3, 4, 1, 5, 2], top
        return [c // s**2, h, s, w, s], [0, 3, 5, 1, 2, 4], top

    def forward(self, bottom: Tensor) -> Tensor:
        split, order, top = self.steps(tuple(bottom.shape))
        return bottom.reshape(-1, *split).permute(order).reshape(bottom.shape[0], *top)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        split, order, top = self.steps(graph.shape(bottoms[0]))
        parts = graph.node("Reshape", [bottoms[0], graph.const(np.array([0, *split], np.int64), "shape")])
        moved = graph.node("Transpose", [parts], perm=order)
        graph.node("Reshape", [moved, graph.const(np.array([0, *top], np.int64), "shape")], tops)
