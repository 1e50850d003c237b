"""PReLU: a ReLU whose slope below zero is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register
from caffe_port.proto import caffe_pb2


@register()
class PReLU(Layer):
    """y = max(x, 0) + slope * min(x, 0), with one slope a channel (axis 1), or one for all if channel_shared.

    Bottom and top: (N, C, ...). Blob: slope (C), or () when shared; filled with 0.25 unless a filler is given. At x = 0
    the derivative is the slope. Raises for a bottom of fewer than 2 axes. Source: src/caffe/layers/prelu_layer.cpp.
    """

    blob_names: tuple[str, ...] = ("slope",)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.prelu_param
        shape = self.top_shapes(bottom_shapes)[0]
        filler = p.filler if p.HasField("filler") else caffe_pb2.FillerParameter(type="constant", value=0.25)
        self.add_blob("slope", () if p.channel_shared else (shape[1],), filler)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have at least 2 axes, the second one channels, not {shape}")
        if "slope" in self.present_blobs and self.slope.dim() and self.slope.shape[0] != shape[1]:
            raise self.shape_error(f"{self.slope.shape[0]} slopes do not fit a bottom {shape}, of {shape[1]} channels")
        return [shape]

    def forward(self, bottom: Tensor) -> Tensor:
        return F.prelu(bottom, self.slope.reshape(-1))

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        slope = graph.blob(self, "slope")
        spatial = len(graph.shape(bottoms[0])) - 2
        if spatial and self.slope.dim():  # ONNX lines axes up from the right
            slope = graph.node("Reshape", [slope, graph.const(np.array([-1] + [1] * spatial, np.int64), "per_channel")])
        graph.node("PRelu", [bottoms[0], slope], tops)
