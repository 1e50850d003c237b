"""TanH: the hyperbolic tangent."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, register


@register()
class TanH(Layer):
    """y = tanh(x), element by element.

    Bottom and top: any shape. NaN stays NaN. Source: src/caffe/layers/tanh_layer.cpp:10-36. `engine` is read past.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        return torch.tanh(bottom)

    def onnx(self, graph, bottoms, tops) -> None:
        graph.node("Tanh", bottoms, tops)
