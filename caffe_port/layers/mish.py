"""Mish: x times the hyperbolic tangent of a softened ReLU."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, register


@register()
class Mish(Layer):
    """y = x * tanh(log(1 + exp(x))), element by element. Bottom and top: any shape.

    The gradient is the derivative at x; one Caffe for it takes it at y by mistake. Source: Misra, Mish, 2019. It is
    `F.mish`.
    """

    origin = "Misra 2019"

    def forward(self, bottom: Tensor) -> Tensor:
        return F.mish(bottom)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("Mul", [bottoms[0], graph.node("Tanh", [graph.node("Softplus", bottoms)])], tops)
