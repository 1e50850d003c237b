"""Log: a logarithm to any base."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.affine import affine, onnx_affine
from caffe_port.layers.base import Layer, Shape, register


@register()
class Log(Layer):
    """y = log_base(shift + scale * x), element by element; base -1 (the default) means e.

    Bottom and top: any shape. Where the argument is 0 y is minus infinity, below 0 it is NaN. With scale 0 the bottom
    is not looked at, and its gradient is 0. Raises for a base that is not positive, and for base 1, which has no
    logarithm. In place Caffe overwrites the top's diff before it reads it; here the gradient is as elsewhere.
    Source: src/caffe/layers/log_layer.cpp:8-76.
    """

    def setup(self, bottom_shapes: list[Shape]) -> None:
        base = self.param.log_param.base
        if base != -1 and (not 0 < base < math.inf or base == 1):
            raise self.error(f"base must be positive and not 1 (or -1 for e), not {base:g}")

    def base_scale(self) -> float:
        base = self.param.log_param.base
        return 1.0 if base == -1 else 1 / math.log(base)

    def forward(self, bottom: Tensor) -> Tensor:
        p = self.param.log_param
        if p.scale == 0:
            bottom = torch.zeros_like(bottom)
        return affine(affine(bottom, p.scale, p.shift).log(), self.base_scale(), 0)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.log_param
        logarithm = graph.node("Log", [onnx_affine(graph, bottoms[0], p.scale, p.shift)])
        graph.node("Identity", [onnx_affine(graph, logarithm, self.base_scale(), 0)], tops)
