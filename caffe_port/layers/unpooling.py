"""Unpooling: what a pooling joined is put back or spread over the window it came from."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.layers.upsample import onnx_placed, placed, places
from caffe_port.proto import caffe_pb2

MAX, AVE, TILE = (caffe_pb2.UnpoolingParameter.UnpoolMethod.Value(n) for n in ("MAX", "AVE", "TILE"))


@register()
class Unpooling(Layer):
    """Bottom (N, C, H, W) and, for MAX, perhaps the pooling's mask (N, C, H, W); top (N, C, unpool_h, unpool_w).

    * MAX with a mask: each value goes to the place row * unpool_w + column that the mask names. Without one: to the
      corner of its window, (row * stride_h, column * stride_w), or to the last row or column if that lies outside. All
      else is 0. Where two values meet, the later shows and both get that place's gradient, as in Caffe.
    * AVE: every pixel of the window gets its value divided by the window's area inside the top; overlaps add up.
    * TILE: every pixel gets the value; overlaps add up. Caffe's gradient is the mean over the window (not the sum,
      which the derivative would be), and so is ours.

    `unpool_size` or unpool_h and unpool_w must be given, and the kernel; pad must be 0. Raises where they are not, for
    a mask beside AVE or TILE, and for a mask that names a place outside (CPU; -1 goes nowhere, see Upsample).

    Source: unpooling_layer.cpp of DeconvNet (Noh et al., 2015), where AVE and TILE add onto whatever the top held.
    """

    origin = "DeconvNet"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)
    differentiable_bottoms: tuple[int, ...] | None = (0,)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.unpooling_param
        sides = {
            name: self.sides(name, square)
            for name, square in (("kernel", "kernel_size"), ("stride", "stride"), ("unpool", "unpool_size"))
        }
        self.kernel, self.stride, self.size = sides["kernel"], sides["stride"], sides["unpool"]
        if any((p.pad, p.pad_h, p.pad_w)):
            raise self.unsupported("padding; its Caffe refuses it as well")
        if min(*self.kernel, *self.stride, *self.size) < 1:
            raise self.error("kernel, stride and unpool size must be positive")
        if len(bottom_shapes) > 1 and p.unpool != MAX:
            raise self.error("a mask as second bottom goes with unpool MAX only")

    def sides(self, name: str, square: str) -> tuple[int, int]:
        """(height, width) of an option that is given for both at once, or for each."""
        p = self.param.unpooling_param
        apart = [p.HasField(f"{name}_{side}") for side in "hw"]
        if any(apart) and (p.HasField(square) or not all(apart)):
            raise self.error(f"give {square}, or {name}_h and {name}_w")
        if all(apart):
            return getattr(p, f"{name}_h"), getattr(p, f"{name}_w")
        if not p.HasField(square) and name != "stride":
            raise self.error(f"needs {square}, or {name}_h and {name}_w")
        return getattr(p, square), getattr(p, square)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width), not {shape}")
        if len(bottom_shapes) > 1 and bottom_shapes[1] != shape:
            raise self.shape_error(f"the mask {bottom_shapes[1]} must be as large as the bottom {shape}")
        return [(*shape[:2], *self.size)]

    def corners(self, height: int, width: int) -> list[np.ndarray]:
        """(H, W): the place of each window's corner in a plane of the top."""
        row, column = (
            np.minimum(np.arange(n) * s, u - 1) for n, s, u in zip((height, width), self.stride, self.size, strict=True)
        )
        return [row[:, None] * self.size[1] + column]

    def areas(self, height: int, width: int) -> list[np.ndarray]:
        """(H, W): how many pixels of each window lie in the top (at least 1, for windows that lie outside)."""
        spans = []
        for n, k, s, u in zip((height, width), self.kernel, self.stride, self.size, strict=True):
            start = np.arange(n) * s
            spans.append(np.maximum(np.minimum(start + k, u) - start, 1))
        return [np.outer(*spans).astype(np.float64)]

    def forward(self, bottom: Tensor, mask: Tensor | None = None) -> Tensor:
        unpool = self.param.unpooling_param.unpool
        if mask is not None:
            return placed(bottom, places(self, mask, self.size), self.size)
        if unpool == MAX:
            (corners,) = self.made_once(bottom, self.corners, *bottom.shape[2:])
            return placed(bottom, corners.expand(bottom.shape), self.size)
        (areas,) = self.made_once(bottom, self.areas, *bottom.shape[2:])
        return self.spread(bottom / areas if unpool == AVE else _GradientDivided.apply(bottom, areas))

    def full(self, shape: Any) -> tuple[int, int]:
        """The size that all windows cover."""
        high, wide = ((n - 1) * s + k for n, k, s in zip(shape[-2:], self.kernel, self.stride, strict=True))
        return high, wide

    def spread(self, x: Tensor) -> Tensor:
        """Every value added to all pixels of its window."""
        n, c, h, w = x.shape
        full = self.full(x.shape)
        if x.numel() == 0:
            return x.new_zeros((n, c, *self.size))
        windows = x.reshape(n * c, 1, h * w).expand(-1, self.kernel[0] * self.kernel[1], -1)
        plane = F.fold(windows, full, self.kernel, stride=self.stride).reshape(n, c, *full)
        return F.pad(plane, (0, self.size[1] - full[1], 0, self.size[0] - full[0]))  # a negative pad crops

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        x, shape, unpool = bottoms[0], graph.shape(bottoms[0]), self.param.unpooling_param.unpool
        if len(bottoms) > 1:
            onnx_placed(graph, x, graph.node("Cast", [bottoms[1]], to=7), shape, self.size, tops)
            return
        if unpool == MAX:
            (corners,) = self.corners(*shape[2:])
            index = graph.const(corners[None, None].astype(np.int64), "corners")
            onnx_placed(graph, x, graph.node("Expand", [index, graph.node("Shape", [x])]), shape, self.size, tops)
            return
        if unpool == AVE:
            (areas,) = self.areas(*shape[2:])
            x = graph.node("Div", [x, graph.const(areas.astype(np.float32), "areas")])
        ones = graph.const(np.ones((shape[1], 1, *self.kernel), np.float32), "ones")
        plane = graph.node("ConvTranspose", [x, ones], strides=self.stride, group=shape[1])
        amounts = [u - f for u, f in zip(self.size, self.full(shape), strict=True)]
        pads = graph.const(np.array([0] * 6 + amounts, np.int64), "pads")
        graph.node("Pad", [plane, pads], tops)


class _GradientDivided(torch.autograd.Function):
    """The identity, whose gradient is divided."""

    @staticmethod
    def forward(x: Tensor, divisor: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad / ctx.saved_tensors[0], None
