"""AbsVal: the absolute value."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, register


@register()
class AbsVal(Layer):
    """y = |x|, element by element.

    Bottom and top: any shape. NaN stays NaN. At x = 0 the derivative is 0.
    Source: src/caffe/layers/absval_layer.cpp:8-35. Caffe refuses this layer in place, because its gradient needs x
    after y has replaced it; here every value has its own memory, so in place is allowed.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        return torch.abs(bottom)

    def onnx(self, graph, bottoms, tops) -> None:
        graph.node("Abs", bottoms, tops)
