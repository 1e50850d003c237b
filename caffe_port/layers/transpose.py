"""Transpose: the axes of a blob in another order."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Transpose(Layer):
    """Axis i of the top is axis `transpose_param.dim[i]` of the bottom. Bottom: any shape.

    Raises where dim does not name every axis of the bottom once. Source: transpose_layer.cpp of the Caffes for
    recurrent nets (CRNN). It is `Tensor.permute`; SSD's Permute may leave axes out.
    """

    origin = "forks for recurrent nets"

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape, order = bottom_shapes[0], list(self.param.transpose_param.dim)
        if sorted(order) != list(range(len(shape))) or not shape:
            raise self.shape_error(f"dim {order} must name each of the {len(shape)} axes of the bottom {shape} once")
        return [tuple(shape[axis] for axis in order)]

    def forward(self, bottom: Tensor) -> Tensor:
        return bottom.permute(list(self.param.transpose_param.dim))

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("Transpose", bottoms, tops, perm=list(self.param.transpose_param.dim))
