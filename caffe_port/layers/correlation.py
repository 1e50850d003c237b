"""Correlation: how alike the patches of two feature maps are, for every displacement between them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.proto import caffe_pb2

MULTIPLY = caffe_pb2.CorrelationParameter.MULTIPLY


@register()
class Correlation(Layer):
    """top[d, y, x] = mean over channels and kernel offsets o of a[p + o] * b[p + o + d], p the place of (y, x).

    Bottoms: a and b (N, C, H, W). Top (N, D * D, h, w), D = 2 * floor(max_displacement / stride_2) + 1: displacements
    d = (dy, dx) in steps of stride_2, dx counting fastest. p = (y, x) * stride_1 + max_displacement in the padded maps
    is the patch's first corner; h, w = ceil((size + 2 pad - 2 (max_displacement + (kernel_size - 1) / 2)) / stride_1).
    `correlation_type: SUBTRACT` takes |a - b| instead of the product. do_abs does nothing, as in FlowNet2.

    Gradients are the derivatives; where SUBTRACT's a equals b it is 0. (FlowNet2's for SUBTRACT takes the sign at the
    wrong place of a.) Raises for an even or missing kernel, a missing max_displacement, maps that are too small, and
    single_direction, which belongs to another layer.

    Source: correlation_layer.cu of lmb-freiburg/flownet2; Dosovitskiy et al., FlowNet, 2015. Its CPU code is missing.
    """

    origin = "FlowNet2"
    bottoms: ClassVar[tuple[int, int | None]] = (2, 2)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.correlation_param
        if not p.HasField("kernel_size") or not p.HasField("max_displacement"):
            raise self.error("kernel_size and max_displacement must be given")
        if p.kernel_size % 2 == 0:
            raise self.error(f"kernel_size must be odd, not {p.kernel_size}")
        if p.stride_1 < 1 or p.stride_2 < 1:
            raise self.error("stride_1 and stride_2 must be positive")
        if p.single_direction:
            raise self.unsupported("single_direction, an option of Correlation1D")
        radius = p.max_displacement // p.stride_2
        self.steps = [i * p.stride_2 for i in range(-radius, radius + 1)]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p, shape = self.param.correlation_param, bottom_shapes[0]
        if len(shape) != 4 or bottom_shapes[1] != shape:
            raise self.shape_error(f"two bottoms of one shape with 4 axes are wanted, not {shape}, {bottom_shapes[1]}")
        border = p.max_displacement + (p.kernel_size - 1) // 2
        sizes = [math.ceil((n + 2 * p.pad - 2 * border) / p.stride_1) for n in shape[2:]]
        if min(sizes) < 1:
            raise self.shape_error(f"displacement and kernel do not fit into maps of {shape[2:]} with pad {p.pad}")
        return [(shape[0], len(self.steps) ** 2, *sizes)]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        p = self.param.correlation_param
        reach = p.max_displacement
        a, b = (F.pad(x, (p.pad,) * 4) for x in (a, b))
        high, wide = a.shape[2] - 2 * reach, a.shape[3] - 2 * reach
        a = a[:, :, reach : reach + high, reach : reach + wide]
        rows = []
        for dy in self.steps:
            # (N, C, high, D, wide): every displacement along the row at once, a view.
            moved = b[:, :, reach + dy : reach + dy + high, reach + self.steps[0] :]
            moved = moved.unfold(3, wide, p.stride_2)[:, :, :, : len(self.steps)]
            if p.correlation_type == MULTIPLY:
                rows.append(torch.einsum("nchw,nchdw->ndhw", a, moved) / a.shape[1])
            else:
                rows.append((a.unsqueeze(3) - moved).abs().mean(1).transpose(1, 2))
        return F.avg_pool2d(torch.cat(rows, 1), p.kernel_size, p.stride_1)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        p, shape = self.param.correlation_param, graph.shape(bottoms[0])
        reach, pads = p.max_displacement, np.array([0, 0, p.pad, p.pad] * 2, np.int64)
        a, b = (graph.node("Pad", [x, graph.const(pads, "pads")]) for x in bottoms)
        high, wide = (n + 2 * p.pad - 2 * reach for n in shape[2:])

        def moved(x: str, dy: int, dx: int) -> Any:
            starts = [reach + dy, reach + dx]
            ends = [starts[0] + high, starts[1] + wide]
            bounds = (graph.const(np.array(v, np.int64), "bound") for v in (starts, ends, [2, 3]))
            return graph.node("Slice", [x, *bounds])

        middle, maps = moved(a, 0, 0), []
        for dy in self.steps:
            for dx in self.steps:
                if p.correlation_type == MULTIPLY:
                    product = graph.node("Mul", [middle, moved(b, dy, dx)])
                else:
                    product = graph.node("Abs", [graph.node("Sub", [middle, moved(b, dy, dx)])])
                maps.append(graph.node("ReduceMean", [product], axes=[1], keepdims=1))
        joined = graph.node("Concat", maps, axis=1)
        sides = {"kernel_shape": [p.kernel_size] * 2, "strides": [p.stride_1] * 2}
        graph.node("AveragePool", [joined], tops, **sides)
