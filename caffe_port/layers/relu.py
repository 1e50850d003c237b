"""ReLU: what is below zero is multiplied by a slope (0 by default)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, register


@register()
class ReLU(Layer):
    """y = max(x, 0) + negative_slope * min(x, 0), element by element.

    Bottom and top: any shape. NaN stays NaN. At x = 0 the derivative is negative_slope. A negative slope is allowed.
    Source: src/caffe/layers/relu_layer.cpp:8-36. `engine` chooses only among Caffe's own implementations and is read
    past. Where the slope is 0, minus infinity gives 0 here, as in torch; Caffe's 0 * -inf is NaN.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        slope = self.param.relu_param.negative_slope
        return F.leaky_relu(bottom, slope) if slope else F.relu(bottom)

    def onnx(self, graph, bottoms, tops) -> None:
        slope = self.param.relu_param.negative_slope
        if slope:
            graph.node("LeakyRelu", bottoms, tops, alpha=slope)
        else:
            graph.node("Relu", bottoms, tops)
