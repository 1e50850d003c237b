"""Power: an affine function raised to a power."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.affine import affine, onnx_affine
from caffe_port.layers.base import Layer, Shape, register


@register()
class Power(Layer):
    """y = (shift + scale * x) ^ power, element by element.

    Bottom and top: any shape. Where power or scale is 0 the bottom is not looked at: y is 1, or shift ^ power, even for
    NaN, and the gradient is 0. A negative base gives NaN unless the power is whole, as C's pow does.
    Source: src/caffe/layers/power_layer.cpp:8-93. Caffe computes the derivative as
    power * scale * y / (shift + scale * x), which is 0 / 0 where the base is 0; here it is its own value there. In
    place Caffe writes that derivative over the top's diff before it reads it; here the gradient is as elsewhere.
    """

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.power_param
        self.constant: float | None = None  # the one value of y where the bottom does not matter
        if p.power * p.scale == 0:
            with np.errstate(all="ignore"):
                self.constant = float(np.power(np.float64(p.shift), np.float64(p.power)))  # 1 for power 0

    def forward(self, bottom: Tensor) -> Tensor:
        p = self.param.power_param
        if self.constant is not None:
            return torch.full_like(bottom, self.constant)
        base = affine(bottom, p.scale, p.shift)
        return base if p.power == 1 else base.pow(p.power)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.power_param
        if self.constant is not None:
            value = graph.const(np.float32(self.constant), "constant")
            graph.node("Expand", [value, graph.node("Shape", bottoms)], tops)
            return
        base = onnx_affine(graph, bottoms[0], p.scale, p.shift)
        if p.power == 1:
            graph.node("Identity", [base], tops)
        else:
            graph.node("Pow", [base, graph.const(np.float32(p.power), "power")], tops)
