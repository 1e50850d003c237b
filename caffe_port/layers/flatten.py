"""Flatten: several axes made one."""

from __future__ import annotations

from math import prod

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.layers.reshape import onnx_reshape, refuse_in_place


@register()
class Flatten(Layer):
    """Axes `axis` (default 1) to `end_axis` (default -1, the last; included) become one; negative ones count from the
    end.

    (N, C, H, W) -> (N, C*H*W) by default. An `end_axis` just before `axis` inserts an axis of size 1, as in Caffe;
    further before, or axes out of range, raise ShapeError. In-place is refused.

    Source: flatten_layer.cpp of BVLC Caffe 1.0. `torch.flatten` is the same but for the inserted axis.
    """

    def setup(self, bottom_shapes: list[Shape]) -> None:
        refuse_in_place(self)

    def _range(self, rank: int) -> tuple[int, int]:
        """First axis to flatten, and one past the last."""
        p = self.param.flatten_param
        start, end = self.axis(p.axis, rank), self.axis(p.end_axis, rank) + 1
        if end < start:
            raise self.shape_error(f"end_axis {p.end_axis} lies before axis {p.axis} of a bottom of {rank} axes")
        return start, end

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        start, end = self._range(len(shape))
        return [(*shape[:start], prod(shape[start:end]), *shape[end:])]

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.top_shapes([tuple(x.shape)])[0])

    def shares_memory(self) -> bool:
        return True

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        start, end = self._range(len(graph.shape(bottoms[0])))
        onnx_reshape(self, graph, bottoms, tops, start, [-1] if end > start else [1], end)
