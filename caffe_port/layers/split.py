"""Split: one blob handed to several layers."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Split(Layer):
    """Every top is the bottom; their diffs are added. A net inserts it where a blob has several readers.

    Bottom: any shape; tops: one or more of that shape, in the same memory. In-place is refused.

    Source: split_layer.cpp of BVLC Caffe 1.0. Not `torch.split`, which is Caffe's Slice.
    """

    tops = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if self.param.bottom and self.param.bottom[0] in self.param.top:
            raise self.error(f"cannot work in place on '{self.param.bottom[0]}'; name the top differently")
        self.copies = len(self.param.top)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return [bottom_shapes[0]] * self.copies

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.view_as(x) for _ in range(self.copies))

    def shares_memory(self) -> bool:
        return True

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        for top in tops:
            graph.node("Identity", bottoms, [top])
