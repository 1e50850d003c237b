"""HardSwish: x times a sigmoid made of three straight lines."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, register


@register()
class HardSwish(Layer):
    """y = x * min(max(x + 3, 0), 6) / 6, element by element. Bottom and top: any shape.

    Source: Howard et al., Searching for MobileNetV3, 2019, as the Caffes for that net have it. It is `F.hardswish`.
    """

    origin = "MobileNetV3"

    def forward(self, bottom: Tensor) -> Tensor:
        return F.hardswish(bottom)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("HardSwish", bottoms, tops)
