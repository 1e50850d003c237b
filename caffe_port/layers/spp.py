"""SPP: spatial pyramid pooling, a vector of one length from planes of any size."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.pool_window import Window, ave_pool, max_pool, onnx_ave, onnx_pool
from caffe_port.proto import caffe_pb2


@register()
class SPP(Layer):
    """Pools the plane in 1 x 1, 2 x 2, 4 x 4 ... bins and joins all levels' results.

    Bottom (N, C, H, W). Top (N, C * (1 + 4 + 16 + ...)), the levels one after the other, each as (C, bins, bins); with
    pyramid_height 1 the pooled (N, C, 1, 1) itself. Level l pools with kernel = stride = ceil(size / 2^l) and pads
    half of what is missing on either side, by Pooling's rules (so a level may give fewer windows than bins).
    Raises where a pad would not be smaller than its kernel (planes too small for the pyramid), as Caffe does, and for
    STOCHASTIC, which Caffe's CPU code lacks too.
    Source: src/caffe/layers/spp_layer.cpp; He et al., 2014.
    """

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.spp_param
        if p.pyramid_height < 1:
            raise self.error("pyramid_height must be given and positive")
        if p.pool == caffe_pb2.SPPParameter.STOCHASTIC:
            raise self.unsupported("STOCHASTIC spatial pyramid pooling; MAX and AVE can be done")

    def windows(self, shape: Shape) -> list[Window]:
        """The pooling of each level."""
        windows = []
        for level in range(self.param.spp_param.pyramid_height):
            bins = 2**level
            kernel = (math.ceil(shape[2] / bins), math.ceil(shape[3] / bins))
            pad = ((kernel[0] * bins - shape[2] + 1) // 2, (kernel[1] * bins - shape[3] + 1) // 2)
            windows.append(Window(kernel, kernel, pad))
        return windows

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4 or min(shape[2:]) < 1:
            raise self.shape_error(f"the bottom must be (num, channels, height, width) with pixels, not {shape}")
        windows = self.windows(shape)
        for level, window in enumerate(windows):
            if window.pad[0] >= window.kernel[0] or window.pad[1] >= window.kernel[1]:
                raise self.shape_error(
                    f"planes of {shape[2:]} are too small for level {level}: {2**level} bins a side need "
                    f"pad {window.pad}, but the kernel is {window.kernel}; lower pyramid_height"
                )
        counts = [window.counts((shape[2], shape[3])) for window in windows]
        if len(counts) == 1:
            return [(*shape[:2], *counts[0])]
        return [(shape[0], shape[1] * sum(h * w for h, w in counts))]

    @property
    def average(self) -> bool:
        return self.param.spp_param.pool == caffe_pb2.SPPParameter.AVE

    def forward(self, bottom: Tensor) -> Tensor:
        windows = self.windows(tuple(bottom.shape))
        levels = [ave_pool(bottom, w) if self.average else max_pool(bottom, w)[0] for w in windows]
        return levels[0] if len(levels) == 1 else torch.cat([level.flatten(1) for level in levels], 1)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        x, shape = bottoms[0], graph.shape(bottoms[0])
        windows = self.windows(shape)
        pooled = []
        for window in windows:
            outputs: Any = tops if len(windows) == 1 else 1
            if self.average:
                pooled.append(onnx_ave(graph, x, shape[2:], window, outputs))
            else:
                pooled.append(onnx_pool(graph, "MaxPool", x, shape[2:], window, outputs))
        if len(windows) > 1:
            graph.node("Concat", [graph.node("Flatten", [level], axis=1) for level in pooled], tops, axis=1)
