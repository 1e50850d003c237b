"""Slice: a blob cut into pieces along an axis."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Slice(Layer):
    """Cuts the bottom along `slice_param.axis` (default 1, negative from the end), or along the older `slice_dim`.

    `slice_point` gives the places to cut, one fewer than there are tops, rising; without it all pieces are equal and
    the axis must divide by the number of tops. With one top the bottom passes through. Anything else raises an error.

    Source: slice_layer.cpp of BVLC Caffe 1.0. `torch.split` takes sizes where Caffe takes places.
    """

    tops = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.slice_param
        if p.HasField("axis") and p.HasField("slice_dim"):
            raise self.error("takes either axis or slice_dim (its older name), not both")
        self.old_spelling = p.HasField("slice_dim")
        self.points, self.pieces = list(p.slice_point), len(self.param.top)

    def _axis(self, rank: int) -> int:
        p = self.param.slice_param
        if not self.old_spelling:
            return self.axis(p.axis, rank)
        if p.slice_dim >= rank:
            raise self.shape_error(f"slice_dim {p.slice_dim} is out of range for a bottom of {rank} axes")
        return p.slice_dim

    def _sizes(self, length: int) -> list[int]:
        """How long each top is, of an axis of `length`."""
        points, tops = self.points, self.pieces
        if not points:
            if length % tops:
                raise self.shape_error(
                    f"an axis of {length} cannot be cut into {tops} equal tops; give slice_point"
                )
            return [length // tops] * tops
        if len(points) != tops - 1:
            raise self.shape_error(
                f"{len(points)} slice_points cut {len(points) + 1} pieces, but there are {tops} tops"
            )
        cuts = [0, *points]
        if any(b <= a for a, b in zip(cuts, points, strict=False)) or points[-1] > length or tops > length:
            raise self.shape_error(f"slice_points {points} must rise from 1 on and stay within the axis of {length}")
        return [b - a for a, b in zip(cuts, [*points, length], strict=True)]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        axis = self._axis(len(shape))
        return [(*shape[:axis], size, *shape[axis + 1 :]) for size in self._sizes(shape[axis])]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        axis = self._axis(x.dim())
        return x.split(self._sizes(x.shape[axis]), axis)

    def shares_memory(self) -> bool:
        return self.pieces == 1

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        shape = graph.shape(bottoms[0])
        axis = self._axis(len(shape))
        if len(tops) == 1:
            graph.node("Identity", bottoms, tops)
        elif not self.points:
            graph.node("Split", bottoms, tops, axis=axis)
        elif axis:
            sizes = np.array(self._sizes(shape[axis]), np.int64)
            graph.node("Split", [*bottoms, graph.const(sizes, "sizes")], tops, axis=axis)
        else:  # the batch: its size may not be written down, so the last piece goes up to an open end
            places = [graph.const(np.array([p], np.int64), "place") for p in [0, *self.points, 2**31 - 1]]
            for top, start, end in zip(tops, places, places[1:], strict=False):
                graph.node("Slice", [*bottoms, start, end, places[0]], [top])
