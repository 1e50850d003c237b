"""Axpy: a blob weighted channel by channel, plus another."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Axpy(Layer):
    """F = a * X + Y, where a weighs every channel of every sample.

    Bottoms: a (N, C) or (N, C, 1, 1), X (N, C, ...), Y like X. Top: like X. Raises where the shapes are others.
    Source: axpy_layer.cpp of SENet (Hu et al., 2018), where it joins Scale and Eltwise; it takes no option.
    """

    origin = "SENet"
    bottoms: ClassVar[tuple[int, int | None]] = (3, 3)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        a, x, y = bottom_shapes
        if len(x) < 2 or a[:2] != x[:2] or any(n != 1 for n in a[2:]):
            raise self.shape_error(f"the first bottom must be one weight for each channel of {x}, but is {a}")
        if x != y:
            raise self.shape_error(f"the second and third bottom must have one shape, but are {x} and {y}")
        return [x]

    def forward(self, a: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return a.reshape(*x.shape[:2], *[1] * (x.dim() - 2)) * x + y

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        a, x, y = bottoms
        rank = len(graph.shape(x))
        if len(graph.shape(a)) != rank:
            shape = graph.const(np.array([0, 0, *[1] * (rank - 2)], np.int64), "shape")
            a = graph.node("Reshape", [a, shape])
        graph.node("Add", [graph.node("Mul", [a, x]), y], tops)
