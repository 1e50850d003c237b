"""Bias: addition of a term, learned or given as a second bottom."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from caffe_port.layers import coefficient
from caffe_port.layers.base import Layer, Shape, register


@register()
class Bias(Layer):
    """y = x + bias, where bias is laid over the bottom's axes from `axis` on.

    Bottoms: x of any shape, and optionally the bias, whose shape must be x's axes from `axis` on. Top: like x.
    Blob: bias (unless it is a bottom) with num_axes of x's axes, () for num_axes 0.
    Raises where it reaches past x or has other sizes.
    Source: src/caffe/layers/bias_layer.cpp. torch broadcasts from the last axis, Caffe from `axis`.
    """

    blob_names: tuple[str, ...] = ("bias",)
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.bias_param
        if len(bottom_shapes) == 1:
            self.add_blob("bias", coefficient.blob_shape(self, p.axis, p.num_axes, bottom_shapes[0]), p.filler)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        bias = bottom_shapes[1] if len(bottom_shapes) > 1 else tuple(self.bias.shape)
        coefficient.check(self, self.param.bias_param.axis, bottom_shapes[0], bias)
        return [bottom_shapes[0]]

    def forward(self, *bottoms: Tensor) -> Tensor:
        x = bottoms[0]
        bias = bottoms[1] if len(bottoms) > 1 else self.bias
        return x + coefficient.laid_over(self, self.param.bias_param.axis, bias, x)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        bias = bottoms[1] if len(bottoms) > 1 else graph.blob(self, "bias")
        rank = len(graph.shape(bias)) if len(bottoms) > 1 else self.bias.dim()
        axis = self.param.bias_param.axis
        graph.node("Add", [bottoms[0], coefficient.onnx_laid_over(graph, self, axis, bias, rank, bottoms[0])], tops)
