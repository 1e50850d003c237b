"""Clip: values limited to a range."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, register
from caffe_port.layers.in_place import blind_in_place


@register()
class Clip(Layer):
    """y = max(min, min(x, max)), element by element.

    Bottom and top: any shape. The gradient passes where min <= x <= max, both ends included. With min > max every y is
    min, as the formula says (torch.clamp would say max). In place every gradient passes, as in Caffe, which looks at
    the clipped values then. NaN stays NaN, where Caffe's CPU code gives min and its GPU code max. Raises if min or max
    is missing (the schema requires both). Source: src/caffe/layers/clip_layer.cpp:8-41.
    """

    def setup(self, bottom_shapes) -> None:
        p = self.param.clip_param
        for field in ("min", "max"):
            if not p.HasField(field):
                raise self.error(f"clip_param needs both min and max; {field} is missing")

    def limits(self) -> tuple[float, float]:
        p = self.param.clip_param
        return p.min, max(p.min, p.max)

    def forward(self, bottom: Tensor) -> Tensor:
        low, high = self.limits()
        return blind_in_place(self, bottom, bottom.clamp(low, high), torch.ones_like)

    def onnx(self, graph, bottoms, tops) -> None:
        low, high = (graph.const(np.float32(v), n) for v, n in zip(self.limits(), ("min", "max"), strict=True))
        graph.node("Clip", [bottoms[0], low, high], tops)
