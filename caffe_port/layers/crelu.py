"""CReLU: the positive part and the negative part, side by side."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class CReLU(Layer):
    """Bottom any shape; top twice as long on `crelu_param.concat_axis` (1): ReLU(x), then ReLU(-x).

    ReLU with `negative_slope`, as in Caffe's. At x = 0 either derivative is the slope. Raises for an axis that the
    bottom does not have. Source: Shang et al., 2016; the options are those of Cambricon's Caffe.
    """

    origin = "Shang et al. 2016"

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = list(bottom_shapes[0])
        shape[self.axis(self.param.crelu_param.concat_axis, len(shape))] *= 2
        return [tuple(shape)]

    def forward(self, bottom: Tensor) -> Tensor:
        p = self.param.crelu_param
        return F.leaky_relu(torch.cat([bottom, -bottom], p.concat_axis), p.negative_slope)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.crelu_param
        both = graph.node("Concat", [bottoms[0], graph.node("Neg", bottoms)], axis=p.concat_axis)
        graph.node("LeakyRelu", [both], tops, alpha=p.negative_slope)
