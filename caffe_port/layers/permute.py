"""Permute: the axes of a blob in another order."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Permute(Layer):
    """Axis i of the top is axis `permute_param.order[i]` of the bottom; axes that are not named follow in their order.

    Bottom: any shape. Top: the same values in the new order of axes. Raises for an axis that the bottom does not have
    and for one named twice.

    Source: permute_layer.cpp of SSD (Liu et al., 2016). Unlike `Tensor.permute` the order may be incomplete.
    """

    origin = "SSD"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        given = list(self.param.permute_param.order)
        twice = sorted({axis for axis in given if given.count(axis) > 1})
        if twice:
            raise self.error(f"order names axis {twice[0]} more than once")

    def order(self, rank: int) -> list[int]:
        given = list(self.param.permute_param.order)
        for axis in given:
            if axis >= rank:
                raise self.shape_error(f"order names axis {axis}, the bottom has {rank} axes, 0 to {rank - 1}")
        return given + [axis for axis in range(rank) if axis not in given]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        return [tuple(shape[axis] for axis in self.order(len(shape)))]

    def forward(self, bottom: Tensor) -> Tensor:
        return bottom.permute(self.order(bottom.dim()))

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("Transpose", bottoms, tops, perm=self.order(len(graph.shape(bottoms[0]))))
