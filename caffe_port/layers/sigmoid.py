"""Sigmoid: the logistic function."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, register


@register()
class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)), element by element.

    Bottom and top: any shape. NaN stays NaN; no argument overflows. Source: src/caffe/layers/sigmoid_layer.cpp:8-38
    (written there with tanh, equal up to rounding). `engine` is read past.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        return torch.sigmoid(bottom)

    def onnx(self, graph, bottoms, tops) -> None:
        graph.node("Sigmoid", bottoms, tops)
