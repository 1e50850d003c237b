"""ELU: the identity above zero, a scaled exponential below."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, register
from caffe_port.layers.in_place import blind_in_place


@register()
class ELU(Layer):
    """y = x where x > 0, alpha * (exp(x) - 1) elsewhere.

    Bottom and top: any shape. NaN stays NaN. At x = 0 the derivative is alpha, as in Caffe and torch. In place with a
    negative alpha the gradient passes unchanged wherever y > 0, as in Caffe, which looks for x there.
    Source: src/caffe/layers/elu_layer.cpp:8-37; Clevert et al., 2015.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        alpha = self.param.elu_param.alpha
        top = F.elu(bottom, alpha)
        if alpha >= 0:
            return top  # y and x are of one sign, and what Caffe finds in place does not matter
        return blind_in_place(self, bottom, top, lambda y: torch.where(y > 0, torch.ones_like(y), alpha + y))

    def onnx(self, graph, bottoms, tops) -> None:
        graph.node("Elu", bottoms, tops, alpha=self.param.elu_param.alpha)
