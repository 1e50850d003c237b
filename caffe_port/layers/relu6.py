"""ReLU6: ReLU that ends at 6."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, register


@register()
class ReLU6(Layer):
    """y = min(max(x, 0) + negative_slope * min(x, 0), 6), element by element. Bottom and top: any shape.

    The gradient is 0 from x = 6 on (6 included), negative_slope up to 0 (0 included), else 1. NaN stays NaN.
    Source: relu6_layer.cpp of MobileNet-YOLO and others; the option stands in `relu6_param`.
    """

    origin = "MobileNet-YOLO"

    def forward(self, bottom: Tensor) -> Tensor:
        return capped(bottom, self.param.relu6_param.negative_slope)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        onnx_capped(graph, bottoms[0], tops, self.param.relu6_param.negative_slope)


def capped(x: Tensor, slope: float) -> Tensor:
    return _Capped.apply(F.leaky_relu(x, slope) if slope else F.relu(x))


def onnx_capped(graph: OnnxGraph, x: str, tops: list[str], slope: float) -> None:
    six = graph.const(np.array(6, np.float32), "six")
    if slope:
        graph.node("Min", [graph.node("LeakyRelu", [x], alpha=slope), six], tops)
    else:
        graph.node("Clip", [x, graph.const(np.array(0, np.float32), "zero"), six], tops)


class _Capped(torch.autograd.Function):
    """min(x, 6), whose gradient at 6 itself is 0 (clamp's is 1)."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(max=6)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * (ctx.saved_tensors[0] < 6)
