"""Silence: a reader for blobs that nobody else reads, so that they are not outputs of the net."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Silence(Layer):
    """Takes one or more bottoms of any shape and makes nothing; their diffs are zero.

    Source: silence_layer.cpp of BVLC Caffe 1.0.
    """

    bottoms = (1, None)
    tops = (0, 0)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return []

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        return ()

    def reads_values(self, bottom: int) -> bool:
        return False

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        """Nothing to compute, so nothing to write."""
