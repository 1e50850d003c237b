"""ShuffleChannel: the groups of channels dealt out like cards."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class ShuffleChannel(Layer):
    """Bottom and top (N, C, ...); channel j * g + i is the bottom's i * C/g + j, g being `shuffle_channel_param.group`.

    So the new channels are the first of each group, then the second of each group, and so on. Raises where g is 0 or
    does not divide C. Source: shuffle_channel_layer.cpp of farmingyard/ShuffleNet; Zhang et al., 2018. It is
    `F.channel_shuffle`, for any number of axes after the channels.
    """

    origin = "ShuffleNet"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if self.param.shuffle_channel_param.group < 1:
            raise self.error("group must be at least 1")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape, group = bottom_shapes[0], self.param.shuffle_channel_param.group
        if len(shape) < 2 or shape[1] % group:
            raise self.shape_error(f"group {group} must divide the channels (axis 1) of the bottom {shape}")
        return [shape]

    def forward(self, bottom: Tensor) -> Tensor:
        group = self.param.shuffle_channel_param.group
        return bottom.unflatten(1, (group, -1)).transpose(1, 2).flatten(1, 2) if bottom.numel() else bottom

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        shape, group = graph.shape(bottoms[0]), self.param.shuffle_channel_param.group
        split = graph.const(np.array([0, group, shape[1] // group, math.prod(shape[2:])], np.int64), "split")
        dealt = graph.node("Transpose", [graph.node("Reshape", [bottoms[0], split])], perm=[0, 2, 1, 3])
        graph.node("Reshape", [dealt, graph.const(np.array([0, *shape[1:]], np.int64), "shape")], tops)
