"""Reverse: one or more axes backwards."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Reverse(Layer):
    """Bottom and top of one shape: the order along every `reverse_param.axis` (0 where none is given) turned round.

    Raises for an axis that the bottom does not have, or one named twice. Negative axes count from the end.
    Source: reverse_layer.cpp of Caffes for recurrent nets (one axis) and of Huawei's (several). It is `Tensor.flip`.
    """

    origin = "forks for recurrent nets"

    def axes(self, rank: int) -> list[int]:
        return [self.axis(a, rank) for a in self.param.reverse_param.axis or [0]]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        axes = self.axes(len(bottom_shapes[0]))
        if len(set(axes)) < len(axes):
            raise self.error(f"an axis is named twice in {list(self.param.reverse_param.axis)}")
        return [bottom_shapes[0]]

    def forward(self, bottom: Tensor) -> Tensor:
        return bottom.flip(self.axes(bottom.dim()))

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        onnx_reverse(graph, bottoms[0], self.axes(len(graph.shape(bottoms[0]))), tops)


def onnx_reverse(graph: OnnxGraph, x: str, axes: list[int], tops: list[str] | int = 1) -> str:
    """Slices with step -1; with no axis the identity. The name of the value."""
    if not axes:
        return str(graph.node("Identity", [x], tops))
    count, least = len(axes), np.iinfo(np.int64).min
    values = ([-1] * count, [least] * count, axes, [-1] * count)
    return str(graph.node("Slice", [x, *(graph.const(np.array(v, np.int64), "slice") for v in values)], tops))
