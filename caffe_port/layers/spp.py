"""SPP: spatial pyramid pooling, a vector of one length from planes of any size."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.pool_window import Window, ave_pool, max_pool, onnx_ave, onnx_pool
from caffe_port.proto import caffe_pb2

WPAL = ("base_bin_h", "base_bin_w", "fineness_h", "fineness_w", "overlap_ratio_h", "overlap_ratio_w")


@register()
class SPP(Layer):
    """Pools the plane in 1 x 1, 2 x 2, 4 x 4 ... bins and joins all levels' results.

    Bottom (N, C, H, W). Top (N, C * (1 + 4 + 16 + ...)), the levels one after the other, each as (C, bins, bins); with
    pyramid_height 1 the pooled (N, C, 1, 1) itself. Level l pools with kernel = stride = ceil(size / 2^l) and pads
    half of what is missing on either side, by Pooling's rules (so a level may give fewer windows than bins).
    The batch may be empty. Raises for no channels or pixels, for STOCHASTIC, which Caffe's CPU code lacks too, and, as
    Caffe does, where a pad would not be smaller than its kernel (planes too small for the pyramid).

    With any of WPAL's options, for each direction: level l has base_bin * fineness^l bins; the stride starts as
    ceil(size / bins) less the whole pixels of size * overlap_ratio, at least 1; the kernel is what bins of this stride
    leave to cover, size - (bins - 1) * stride, at least the stride; while its pad is not smaller, the stride shrinks.

    Source: src/caffe/layers/spp_layer.cpp; He et al., 2014. WPAL's: the same file of kyu-sz/caffe; Zhou et al., 2017.
    """

    fork_fields: ClassVar[tuple[str, ...]] = tuple(f"spp_param.{name}" for name in WPAL)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.spp_param
        self.wpal = any(p.HasField(name) for name in WPAL)
        if min(p.base_bin_h, p.base_bin_w, p.fineness_h, p.fineness_w) < 1:
            raise self.error("base_bin and fineness must be positive in both directions")
        if not 0 <= min(p.overlap_ratio_h, p.overlap_ratio_w) <= max(p.overlap_ratio_h, p.overlap_ratio_w) < 1:
            raise self.error("overlap_ratio must be at least 0 and below 1 in both directions")
        if p.pyramid_height < 1:
            raise self.error("pyramid_height must be given and positive")
        if p.pool == caffe_pb2.SPPParameter.STOCHASTIC:
            raise self.unsupported("STOCHASTIC spatial pyramid pooling; MAX and AVE can be done")

    def windows(self, shape: Shape) -> list[Window]:
        """The pooling of each level."""
        p = self.param.spp_param
        if self.wpal:
            return [wpal_window(p, level, shape) for level in range(p.pyramid_height)]
        windows = []
        for level in range(p.pyramid_height):
            bins = 2**level
            kernel = (math.ceil(shape[2] / bins), math.ceil(shape[3] / bins))
            pad = ((kernel[0] * bins - shape[2] + 1) // 2, (kernel[1] * bins - shape[3] + 1) // 2)
            windows.append(Window(kernel, kernel, pad))
        return windows

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4 or min(shape[1:]) < 1:
            raise self.shape_error(f"the bottom must be (num, channels, height, width) with pixels, not {shape}")
        windows = self.windows(shape)
        for level, window in enumerate(windows):
            if window.pad[0] >= window.kernel[0] or window.pad[1] >= window.kernel[1]:
                bins = "its" if self.wpal else f"{2**level}"
                raise self.shape_error(
                    f"planes of {shape[2:]} are too small for level {level}: {bins} bins a side need "
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
        levels = [ave_pool(self, bottom, w) if self.average else max_pool(bottom, w)[0] for w in windows]
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


def wpal_window(p: Any, level: int, shape: Shape) -> Window:
    """The pooling of one level by WPAL's options."""
    sides = [
        wpal_side(shape[2], p.base_bin_h * p.fineness_h**level, p.overlap_ratio_h),
        wpal_side(shape[3], p.base_bin_w * p.fineness_w**level, p.overlap_ratio_w),
    ]
    kernel, stride, pad = ((high, wide) for high, wide in zip(*sides, strict=True))
    return Window(kernel, stride, pad)


def wpal_side(size: int, bins: int, overlap: float) -> tuple[int, int, int]:
    """(kernel, stride, pad) along one direction; a pad that is not smaller than the kernel where none will do."""
    kernel = pad = 0
    shared = int(np.float32(size) * np.float32(overlap))
    for stride in range(max(1, math.ceil(size / bins) - shared), 0, -1):
        kernel = max(stride, size - (bins - 1) * stride)
        pad = (kernel + stride * (bins - 1) - size + 1) // 2
        if pad < kernel:
            return kernel, stride, pad
    return kernel, 1, pad
