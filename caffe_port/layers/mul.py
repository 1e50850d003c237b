"""Mul: two blobs, or a blob and a learned one, multiplied as numpy multiplies arrays."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.layers.reshape import refuse_in_place


@register()
class Mul(Layer):
    """y = a * b, each axis of one size in both, or of size 1 in one, which is then repeated; the axes are aligned at
    the end, and the one with fewer is repeated over the rest.

    Bottoms: a and b, or a alone, with b a blob `factor` of the shape `mul_param.mul_shape` (none given: one number),
    filled with 0. Raises where the shapes do not fit, and in place. Source: mul_layer.cpp of Synopsys' Caffe, which has
    no backward; here it is the derivative.
    """

    origin = "Synopsys"
    blob_names = ("factor",)
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        refuse_in_place(self)
        if len(bottom_shapes) == 1:
            self.add_blob("factor", tuple(self.param.mul_param.mul_shape))

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shapes = bottom_shapes if len(bottom_shapes) > 1 else [bottom_shapes[0], tuple(self.factor.shape)]
        try:
            return [tuple(torch.broadcast_shapes(*shapes))]
        except RuntimeError:
            text = f"{shapes[0]} and {shapes[1]} differ in an axis that has size 1 in neither"
            raise self.shape_error(text) from None

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        return a * (self.factor if b is None else b)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("Mul", bottoms if len(bottoms) > 1 else [bottoms[0], graph.blob(self, "factor")], tops)
