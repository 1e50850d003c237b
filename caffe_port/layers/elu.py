"""ELU: the identity above zero, a scaled exponential below."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, register


@register()
class ELU(Layer):
    """y = x where x > 0, alpha * (exp(x) - 1) elsewhere.

    Bottom and top: any shape. NaN stays NaN. At x = 0 the derivative is alpha, as in Caffe and torch.
    Source: src/caffe/layers/elu_layer.cpp:8-37; Clevert et al., 2015.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        return F.elu(bottom, self.param.elu_param.alpha)

    def onnx(self, graph, bottoms, tops) -> None:
        graph.node("Elu", bottoms, tops, alpha=self.param.elu_param.alpha)
