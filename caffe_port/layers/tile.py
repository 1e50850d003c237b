"""Tile: a blob repeated along an axis."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Tile(Layer):
    """y = `tiles` copies of x one behind the other along `tile_param.axis` (default 1, negative from the end).

    Top: that axis times `tiles`, which must be given and positive. The gradient is the sum over the copies.

    Source: tile_layer.cpp of BVLC Caffe 1.0. It is `Tensor.repeat`; `torch.repeat_interleave` orders otherwise.
    """

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if self.param.tile_param.tiles < 1:
            raise self.error("tile_param.tiles must be given, and positive")

    def _repeats(self, rank: int) -> list[int]:
        p = self.param.tile_param
        axis = self.axis(p.axis, rank)
        return [p.tiles if i == axis else 1 for i in range(rank)]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        return [tuple(d * r for d, r in zip(shape, self._repeats(len(shape)), strict=True))]

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(self._repeats(x.dim()))

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        repeats = np.array(self._repeats(len(graph.shape(bottoms[0]))), np.int64)
        graph.node("Tile", [*bottoms, graph.const(repeats, "repeats")], tops)
