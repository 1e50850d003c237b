"""Threshold: one where the bottom is above a threshold, zero elsewhere."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, register


@register()
class Threshold(Layer):
    """y = 1 where x > threshold, else 0 (also where x is NaN).

    Bottom and top: any shape; the top is a float blob. No gradient passes.
    Source: src/caffe/layers/threshold_layer.cpp:8-23.
    torch.nn.Threshold is another function: it keeps x above the threshold.
    """

    differentiable_bottoms: tuple[int, ...] = ()

    def forward(self, bottom: Tensor) -> Tensor:
        return (bottom > self.param.threshold_param.threshold).to(bottom.dtype)

    def onnx(self, graph, bottoms, tops) -> None:
        threshold = graph.const(np.float32(self.param.threshold_param.threshold), "threshold")
        above = graph.node("Greater", [bottoms[0], threshold])
        graph.node("Cast", [above], tops, to=1)  # TensorProto.FLOAT
