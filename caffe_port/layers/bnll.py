"""BNLL: the binomial normal log likelihood, elsewhere called softplus."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, register
from caffe_port.layers.in_place import blind_in_place

THRESHOLD = 50.0  # kBNLL_THRESHOLD: from here on the derivative is 1 to the last bit


@register()
class BNLL(Layer):
    """y = log(1 + exp(x)), element by element, without overflow for large x.

    Bottom and top: any shape. NaN stays NaN. Source: src/caffe/layers/bnll_layer.cpp:8-38. torch's softplus turns
    linear at 20, which float64 can see; the threshold here is Caffe's 50. In place the gradient is top_diff *
    sigmoid(y), as in Caffe, which looks for x there.
    """

    def forward(self, bottom: Tensor) -> Tensor:
        return blind_in_place(self, bottom, F.softplus(bottom, threshold=THRESHOLD), torch.sigmoid)

    def onnx(self, graph, bottoms, tops) -> None:
        graph.node("Softplus", bottoms, tops)
