"""Exp: an exponential of any base."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from caffe_port.layers.affine import affine, onnx_affine
from caffe_port.layers.base import Layer, Shape, register


@register()
class Exp(Layer):
    """y = base ^ (shift + scale * x), element by element; base -1 (the default) means e.

    Bottom and top: any shape. NaN stays NaN. Raises for a base that is not positive. Computed as Caffe does, as
    base ^ shift * exp(log(base) * scale * x). Source: src/caffe/layers/exp_layer.cpp:8-59.
    """

    def setup(self, bottom_shapes: list[Shape]) -> None:
        base = self.param.exp_param.base
        if base != -1 and not 0 < base < math.inf:
            raise self.error(f"base must be positive (or -1 for e), not {base:g}")
        log_base = 1.0 if base == -1 else math.log(base)
        self.inner: float = log_base * self.param.exp_param.scale
        with np.errstate(over="ignore"):
            self.outer = float(np.exp(np.float64(log_base * self.param.exp_param.shift)))

    def forward(self, bottom: Tensor) -> Tensor:
        return affine(affine(bottom, self.inner, 0).exp(), self.outer, 0)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        power = graph.node("Exp", [onnx_affine(graph, bottoms[0], self.inner, 0)])
        graph.node("Identity", [onnx_affine(graph, power, self.outer, 0)], tops)
