"""LRN: local response normalisation, across channels or within each channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.pool_window import Window, ave_pool, onnx_ave
from caffe_port.proto import caffe_pb2


@register()
class LRN(Layer):
    """y = x * s ^ -beta, where s grows with the squares around x. Bottom and top: (N, C, H, W).

    * ACROSS_CHANNELS: s = k + alpha / local_size * (sum of x^2 over local_size channels centred on this one); channels
      that do not exist count as 0. NaN reaches the channels whose window holds it (Caffe's running sum carries it on).
    * WITHIN_CHANNEL: s = 1 + alpha * (sum of x^2 over a local_size x local_size square) / local_size^2; pixels that do
      not exist count as 0. `k` is not used here, in Caffe neither.

    Raises unless local_size is odd and the bottom has 4 axes (WITHIN_CHANNEL: and pixels). `engine` is read past:
    CUDNN's is the same function. In place Caffe overwrites what it still needs (its CPU code in forward, too); here
    that changes nothing.
    Source: src/caffe/layers/lrn_layer.cpp. torch's local_response_norm is the first form only.
    """

    def setup(self, bottom_shapes: list[Shape]) -> None:
        size = self.param.lrn_param.local_size
        if size % 2 != 1:
            raise self.error(f"local_size must be odd, not {size}")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        if len(bottom_shapes[0]) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width): {bottom_shapes[0]}")
        if self.within and 0 in bottom_shapes[0][1:]:
            raise self.shape_error(f"a bottom of {bottom_shapes[0]} has no channel or no pixel")
        return [bottom_shapes[0]]

    @property
    def within(self) -> bool:
        return self.param.lrn_param.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL

    def window(self) -> Window:
        size = self.param.lrn_param.local_size
        return Window((size, size), (1, 1), (size // 2, size // 2))

    def forward(self, bottom: Tensor) -> Tensor:
        p, square = self.param.lrn_param, bottom * bottom
        if self.within:
            scale = 1 + p.alpha * ave_pool(self, square, self.window())
        else:
            channels, reach = bottom.shape[1], p.local_size // 2
            padded = F.pad(square, (0, 0, 0, 0, reach, reach))
            total = padded[:, :channels]
            for offset in range(1, p.local_size):
                total = total + padded[:, offset : offset + channels]
            scale = p.k + p.alpha / p.local_size * total
        return bottom * scale.pow(-p.beta)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, x = self.param.lrn_param, bottoms[0]
        if not self.within:
            graph.node("LRN", [x], tops, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)
            return
        means = onnx_ave(graph, graph.node("Mul", [x, x]), graph.shape(x)[2:], self.window())
        grown = graph.node("Mul", [means, graph.const(np.float32(p.alpha), "alpha")])
        scale = graph.node("Add", [grown, graph.const(np.float32(1), "one")])
        graph.node("Div", [x, graph.node("Pow", [scale, graph.const(np.float32(p.beta), "beta")])], tops)
