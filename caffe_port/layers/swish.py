"""Swish: x times a sigmoid of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.affine import affine, onnx_affine
from caffe_port.layers.base import Layer, OnnxGraph, register


@register()
class Swish(Layer):
    """y = x * sigmoid(beta * x), element by element; beta is 1 unless given.

    Bottom and top: any shape. Any beta is allowed: 0 gives x / 2. NaN stays NaN; no finite argument overflows.
    Source: src/caffe/layers/swish_layer.cpp:28-59; Ramachandran et al., Searching for Activation Functions, 2017. With
    beta 1 it is `F.silu`.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        beta = self.param.swish_param.beta
        return F.silu(bottom) if beta == 1 else bottom * torch.sigmoid(affine(bottom, beta, 0))

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        inner = onnx_affine(graph, bottoms[0], self.param.swish_param.beta, 0)
        graph.node("Mul", [bottoms[0], graph.node("Sigmoid", [inner])], tops)
