"""ReLU: what is below zero is multiplied by a slope (0 by default)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, register
from caffe_port.layers.in_place import blind_in_place
from caffe_port.layers.relu6 import capped, onnx_capped


@register()
class ReLU(Layer):
    """y = max(x, 0) + negative_slope * min(x, 0), element by element.

    Bottom and top: any shape. NaN stays NaN. At x = 0 the derivative is negative_slope. A negative slope is allowed;
    in place the gradient then passes unchanged wherever y > 0, as in Caffe, which looks for x there.
    Source: src/caffe/layers/relu_layer.cpp:8-36. `engine` chooses only among Caffe's own implementations and is read
    past. Where the slope is 0, minus infinity gives 0 here, as in torch; Caffe's 0 * -inf is NaN.
    `relu6`, of Synopsys' Caffe, ends y at 6, as the layer ReLU6 does.
    """

    fork_fields: ClassVar[tuple[str, ...]] = ("relu_param.relu6",)

    def forward(self, bottom: Tensor) -> Tensor:
        slope = self.param.relu_param.negative_slope
        if self.param.relu_param.relu6:
            return capped(bottom, slope)
        if not slope:
            return F.relu(bottom)
        top = F.leaky_relu(bottom, slope)
        if slope > 0:
            return top  # y and x are of one sign, and what Caffe finds in place does not matter
        return blind_in_place(self, bottom, top, lambda y: torch.where(y > 0, torch.ones_like(y), slope))

    def onnx(self, graph, bottoms, tops) -> None:
        slope = self.param.relu_param.negative_slope
        if self.param.relu_param.relu6:
            onnx_capped(graph, bottoms[0], tops, slope)
        elif slope:
            graph.node("LeakyRelu", bottoms, tops, alpha=slope)
        else:
            graph.node("Relu", bottoms, tops)
