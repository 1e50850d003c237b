"""Softmax: probabilities along one axis."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Softmax(Layer):
    """y_c = exp(x_c - max x) / sum_k exp(x_k - max x) along `softmax_param.axis` (default 1, negative from the end).

    Bottom and top: any one shape. An axis out of range raises ShapeError. A NaN, or +inf, among the values of one
    softmax makes all of them NaN. `engine` changes nothing here.

    Source: softmax_layer.cpp of BVLC Caffe 1.0. `torch.softmax` with the axis from the definition is the same.
    """

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        self.axis(self.param.softmax_param.axis, len(bottom_shapes[0]))
        return [bottom_shapes[0]]

    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(self.param.softmax_param.axis)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        axis = self.axis(self.param.softmax_param.axis, len(graph.shape(bottoms[0])))
        graph.node("Softmax", bottoms, tops, axis=axis)
