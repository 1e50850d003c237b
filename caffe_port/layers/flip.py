"""Flip: planes mirrored."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.layers.reverse import onnx_reverse


@register()
class Flip(Layer):
    """Bottom and top (N, C, H, W): columns backwards with `flip_width`, rows backwards with `flip_height`.

    Source: flip_layer.cpp of several Caffes; both options are off here unless given (no schema of theirs was found).
    """

    origin = "forks of 2017"

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width), not {shape}")
        return [shape]

    @property
    def axes(self) -> list[int]:
        p = self.param.flip_param
        return [2] * p.flip_height + [3] * p.flip_width

    def forward(self, bottom: Tensor) -> Tensor:
        return bottom.flip(self.axes)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        onnx_reverse(graph, bottoms[0], self.axes, tops)
