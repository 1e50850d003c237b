"""Pooling: the maximum, the mean or a random draw over windows of every plane."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import TRAIN, Layer, Shape, register
from caffe_port.layers.pool_window import Window, ave_pool, max_pool, onnx_ave, onnx_pool, sum_pool
from caffe_port.proto import caffe_pb2

MAX, AVE, STOCHASTIC, AVE_EXC_PAD = (
    caffe_pb2.PoolingParameter.PoolMethod.Value(n) for n in ("MAX", "AVE", "STOCHASTIC", "AVE_EXC_PAD")
)
SIDES = ("pad_t", "pad_b", "pad_l", "pad_r")
PADS = (("pad", "pad_h", "pad_w"), ("pad_type",), SIDES)  # a layer has the options of one


@register()
class Pooling(Layer):
    """Bottom (N, C, H, W); top (N, C, h, w) with h, w by `pool_window.out_len`. MAX may have a second top, the mask.

    * MAX: the greatest value of the window; the first of equals gets the gradient; NaN never wins. Mask: the winner's
      place in its plane, row * W + column, as float; -1 (and the value -FLT_MAX) where nothing won, and no gradient
      then (Caffe writes that gradient outside the plane). No gradient to the mask.
    * AVE: the sum of the window's pixels divided by the window's area inside image and pad, so zero pads do count.
    * STOCHASTIC, for values that are not negative. TRAIN: one pixel, drawn with probability proportional to its value.
      TEST: sum(x^2) / sum(x), 0 where the sum is not positive. Caffe has it on the GPU only; this is that meaning
      (pooling_layer.cu:82-158), with the derivative of the TEST form as gradient, which Caffe lacks.

    `global_pooling` makes the window the whole plane. `ceil_mode: false`, a spelling of forks, is round_mode FLOOR.
    `engine` is read past. Raises for kernel, stride and pad given twice or by halves, pad >= kernel, pad with
    STOCHASTIC, no channels, and planes too small for one window. The batch may be empty.

    Synopsys' Caffe adds: AVE_EXC_PAD, once AVE_TF, which divides by the window's pixels inside the image; pad_t, pad_b,
    pad_l and pad_r, a pad of its own for every side; and pad_type 1, TensorFlow's SAME, in which a stride s makes of
    n pixels the fraction n / s, rounded up, and an odd pad has its greater half behind. Their gradients are the
    derivatives, where that Caffe's CPU code for AVE takes pad_b for pad_l.

    Source: src/caffe/layers/pooling_layer.cpp of BVLC Caffe and of Synopsys'. torch's pools differ in the number of
    windows, refuse pad > kernel / 2, and let NaN win.
    """

    tops: ClassVar[tuple[int, int | None]] = (1, 2)
    fork_fields: ClassVar[tuple[str, ...]] = tuple(
        f"pooling_param.{name}" for name in ("ceil_mode", "pool", "pad_type", *SIDES)
    )

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.pooling_param
        if len(self.param.top) > 1 and p.pool != MAX:
            raise self.error("only MAX pooling has a second top (the mask)")
        if p.global_pooling and any(p.HasField(f) for f in ("kernel_size", "kernel_h", "kernel_w")):
            raise self.error("global_pooling makes the plane the kernel; remove kernel_size, kernel_h and kernel_w")
        if not p.global_pooling and p.HasField("kernel_size") == (p.HasField("kernel_h") and p.HasField("kernel_w")):
            raise self.error("the kernel must be given as kernel_size, or as kernel_h and kernel_w; and not as both")
        for field in ("pad", "stride"):
            both = [p.HasField(f"{field}_h"), p.HasField(f"{field}_w")]
            if any(both) and (p.HasField(field) or not all(both)):
                raise self.error(f"give {field}, or {field}_h and {field}_w")
        if sum(any(getattr(p, name) for name in names) for names in PADS) > 1:
            raise self.error(f"give one of pad, pad_type, and {', '.join(SIDES)}")
        if p.pad_type > 1:
            raise self.unsupported(f"pad_type {p.pad_type}; 0 is Caffe's own, 1 is SAME")
        self.options: dict[str, Any] = options(p)
        window = self.window((1, 1))
        pads = window.pad + window.after
        if p.global_pooling and (any(pads) or p.pad_type or window.stride != (1, 1)):
            raise self.error("global_pooling goes with pad 0 and stride 1 only")
        if min(window.kernel) < 1 or min(window.stride) < 1:
            raise self.error(f"kernel {window.kernel} and stride {window.stride} must be positive")
        if any(pads) and p.pool == STOCHASTIC:
            raise self.error("padding is for MAX and AVE pooling only")
        if any(pad >= kernel for pad, kernel in zip(pads, window.kernel * 2, strict=True) if pad):
            pad = tuple(map(max, window.pad, window.after))
            raise self.error(f"pad {pad} must be smaller than the kernel {window.kernel}")

    def window(self, size: tuple[int, int]) -> Window:
        """The window over planes of `size`."""
        window = Window(**{"kernel": size, **self.options})
        return same(window, size) if self.param.pooling_param.pad_type else window

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width), not {shape}")
        size = (shape[2], shape[3])
        counts = self.window(size).counts(size)
        if not shape[1]:
            raise self.shape_error(f"a bottom of {shape} has no channel")
        if min(counts) < 1 or min(size) < 1:
            kernel = self.window(size).kernel
            raise self.shape_error(f"no window {kernel} fits a plane of {size} with this pad and rounding")
        return [(*shape[:2], *counts)] * max(1, len(self.param.top))

    def forward(self, bottom: Tensor) -> Tensor | tuple[Tensor, ...]:
        p = self.param.pooling_param
        window = self.window((bottom.shape[2], bottom.shape[3]))
        if p.pool in (AVE, AVE_EXC_PAD):
            if p.global_pooling:
                return bottom.mean((2, 3), keepdim=True)
            return ave_pool(self, bottom, window, pads=p.pool == AVE)
        if p.pool == STOCHASTIC:
            return self.draw(bottom, window) if self.phase == TRAIN else expected(bottom, window)
        top, index = max_pool(bottom, window)
        return (top, index.to(top.dtype)) if len(self.param.top) > 1 else top

    def draw(self, bottom: Tensor, window: Window) -> Tensor:
        """One pixel of each window: the first whose running sum reaches a random share of the window's sum."""
        n, c, h, w = self.top_shapes([tuple(bottom.shape)])[0]
        pixels = F.unfold(window.padded(bottom, 0.0), window.kernel, stride=window.stride)
        pixels = pixels.unflatten(1, (c, -1)).unflatten(-1, (h, w))  # (n, c, pixels of a window, h, w)
        running = pixels.detach().cumsum(2)
        share = torch.rand(n, c, 1, h, w, device=bottom.device, dtype=bottom.dtype) * running[:, :, -1:]
        first = (running >= share).to(torch.uint8).argmax(2, keepdim=True)
        return pixels.gather(2, first).squeeze(2)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, x = self.param.pooling_param, bottoms[0]
        size = graph.shape(x)[2:]
        window = self.window(size)
        if p.pool in (AVE, AVE_EXC_PAD) and p.global_pooling:
            graph.node("GlobalAveragePool", [x], tops)
        elif p.pool in (AVE, AVE_EXC_PAD):
            onnx_ave(graph, x, size, window, tops, pads=p.pool == AVE)
        elif p.pool == STOCHASTIC:
            mean = onnx_pool(graph, "AveragePool", x, size, window, count_include_pad=1)
            mean_square = onnx_pool(graph, "AveragePool", graph.node("Mul", [x, x]), size, window, count_include_pad=1)
            zero = graph.const(np.float32(0), "zero")
            ratio = graph.node("Div", [mean_square, mean])
            graph.node("Where", [graph.node("Greater", [mean, zero]), ratio, zero], tops)
        elif len(tops) == 1:
            onnx_pool(graph, "MaxPool", x, size, window, tops)
        elif any(after >= kernel for after, kernel in zip(window.pads_after(size), window.kernel, strict=True)):
            raise self.unsupported("a mask over windows without a pixel has no ONNX form")
        else:
            _, index = onnx_pool(graph, "MaxPool", x, size, window, [tops[0], graph.fresh("index")])
            plane = graph.const(np.array(size[0] * size[1], np.int64), "plane")  # ONNX counts over the whole tensor
            graph.node("Cast", [graph.node("Mod", [index, plane])], [tops[1]], to=1)  # TensorProto.FLOAT


def options(p: Any) -> dict[str, Any]:
    """The PoolingParameter as arguments of Window; without a kernel if that is the whole plane."""

    def pair(square: str, field: str) -> tuple[int, int]:
        if p.HasField(f"{field}_h"):
            return getattr(p, f"{field}_h"), getattr(p, f"{field}_w")
        return getattr(p, square), getattr(p, square)

    ceil = p.round_mode == caffe_pb2.PoolingParameter.CEIL and p.ceil_mode
    found: dict[str, Any] = {"stride": pair("stride", "stride"), "pad": pair("pad", "pad"), "ceil": ceil}
    if any(getattr(p, name) for name in SIDES):
        found |= {"pad": (p.pad_t, p.pad_l), "behind": (p.pad_b, p.pad_r)}
    return found if p.global_pooling else {"kernel": pair("kernel_size", "kernel"), **found}


def same(window: Window, size: tuple[int, int]) -> Window:
    """The window with the pads that make of every axis its size / stride, rounded up."""
    axes = zip(size, window.kernel, window.stride, strict=True)
    whole = [max(0, k - (n % s or s)) for n, k, s in axes]
    before, behind = (whole[0] // 2, whole[1] // 2), (-(-whole[0] // 2), -(-whole[1] // 2))
    return Window(window.kernel, window.stride, before, ceil=False, behind=behind)


def expected(x: Tensor, window: Window) -> Tensor:
    """STOCHASTIC in the TEST phase: sum(x^2) / sum(x) over each window, 0 where the sum is not positive."""
    total = sum_pool(x, window)
    positive = total > 0
    return torch.where(positive, sum_pool(x * x, window) / torch.where(positive, total, 1), 0)
