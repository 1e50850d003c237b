"""Windows over planes: Caffe's size rule, and maxima, sums and means over windows. Used by Pooling, SPP and LRN.

A window of size `kernel` stands at every `stride`-th pixel, the first one `pad` pixels before the image; behind it the
pad is the same, but for a fork that can give another. Caffe's rule for how many windows there are is neither that of
torch nor that of ONNX with `ceil_mode`, so both get explicit pads here wherever their own rule would give other
windows. Source: src/caffe/layers/pooling_layer.cpp:79-240.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer

LOWEST = float(torch.finfo(torch.float32).min)
"""Where Caffe's search for a maximum starts (-FLT_MAX): what a window without any pixel gives."""


def out_len(
    size: int, kernel: int, stride: int, pad: int, ceil: bool = True, clip: bool | None = None, after: int | None = None
) -> int:
    """How many windows Caffe puts along an axis of `size` pixels.

    (size + 2 pad - kernel) / stride, rounded up (or down, with ceil=False), plus 1. With padding, a last window that
    would start past the image and its left pad is dropped: `clip`, which a pad on *either* axis switches on for both.
    Without padding such a window stays, and sees no pixel at all (kernel 1, stride 2, size 6). `after`: the pad behind.
    """
    span = size + pad + (pad if after is None else after) - kernel
    count = (-(-span // stride) if ceil else span // stride) + 1
    if (pad > 0 if clip is None else clip) and (count - 1) * stride >= size + pad:
        count -= 1
    return count


def torch_len(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> int:
    """How many windows torch puts there by itself."""
    span = size + 2 * pad - kernel + (stride - 1 if ceil else 0)
    count = span // stride + 1
    return count - 1 if ceil and (count - 1) * stride >= size + pad else count


@dataclass(frozen=True)
class Window:
    """Kernel, stride and pad, each (height, width), and the rounding of the window count; `behind`: see `after`."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int] = (0, 0)
    ceil: bool = True
    behind: tuple[int, int] | None = None

    @property
    def after(self) -> tuple[int, int]:
        """The pad below and to the right, as the definition gives it."""
        return self.pad if self.behind is None else self.behind

    def counts(self, size: tuple[int, int]) -> tuple[int, int]:
        """Windows along height and width of a plane of `size`; not positive where the plane is too small for any."""
        clip = any(self.pad + self.after)
        axes = zip(size, self.kernel, self.stride, self.pad, self.after, strict=True)
        h, w = (out_len(n, k, s, p, self.ceil, clip, a) for n, k, s, p, a in axes)
        return h, w

    def torch_ceil_mode(self, size: tuple[int, int]) -> bool | None:
        """The `ceil_mode` with which torch's own padding gives exactly Caffe's windows; None if neither does."""
        if self.after != self.pad or any(2 * p > k for p, k in zip(self.pad, self.kernel, strict=True)):
            return None
        for ceil in (False, True):
            axes = zip(size, self.kernel, self.stride, self.pad, strict=True)
            if tuple(torch_len(n, k, s, p, ceil) for n, k, s, p in axes) == self.counts(size):
                return ceil
        return None

    def pads_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """What must be added below and to the right for the last window to be whole; 0 where nothing is missing."""
        axes = zip(self.counts(size), size, self.kernel, self.stride, self.pad, strict=True)
        h, w = (max(0, (count - 1) * s + k - n - p) for count, n, k, s, p in axes)
        return h, w

    def pads_after_any(self) -> tuple[int, int] | None:
        """Pads below and to the right that give Caffe's windows, rounding down, at every size of the plane; None where
        none do: where the last window might be clipped. Rounding up is rounding down with stride - 1 more."""
        if self.ceil and any(s + a > k for s, a, k in zip(self.stride, self.after, self.kernel, strict=True)):
            return None
        h, w = (a + (s - 1 if self.ceil else 0) for a, s in zip(self.after, self.stride, strict=True))
        return h, w

    def padded(self, x: Tensor, value: float) -> Tensor:
        """`x` with explicit pads, such that a pool without padding and rounding up sees Caffe's windows."""
        (top, left), (bottom, right) = self.pad, self.pads_after((x.shape[-2], x.shape[-1]))
        return F.pad(x, (left, right, top, bottom), value=value)

    def areas(self, size: tuple[int, int], pads: bool = True) -> list[np.ndarray]:
        """What AVE divides by, (windows high, windows wide): the window's part inside the image *and its pad*.

        0 or negative for the window without pixels that out_len speaks of: 0 / 0 is NaN there, as in Caffe. Without
        `pads`, the part inside the image.
        """
        spans = []
        axes = zip(self.counts(size), size, self.kernel, self.stride, self.pad, self.after, strict=True)
        for count, n, k, s, p, a in axes:
            start = np.arange(count) * s - p
            first, end = (start, n + a) if pads else (np.maximum(start, 0), n)
            spans.append(np.minimum(start + k, end) - first)
        return [np.outer(*spans).astype(np.float64)]


def max_pool(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Maxima over windows of (N, C, H, W), and where they are: h * W + w, -1 where no pixel won.

    A pixel wins by being greater (C++ `>`) than the winner so far, which starts as -FLT_MAX: the first of equals wins,
    and NaN and minus infinity never do. torch lets NaN win, so values that are not finite take a second, careful pass.
    """
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        top, index = windowed_max(x, window)
        if bool(torch.isfinite(top.detach().sum())):  # sums of huge values only cost the careful pass
            return top, index
    return windowed_max(torch.fmax(x, x.new_full((), LOWEST)), window)  # made there: a copy would stop the device


def windowed_max(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    height, width = x.shape[-2:]
    ceil_mode = window.torch_ceil_mode((height, width))
    if ceil_mode is not None:
        top, index = F.max_pool2d(x, window.kernel, window.stride, window.pad, 1, ceil_mode, return_indices=True)
    else:
        padded = window.padded(x, LOWEST)
        top, index = F.max_pool2d(padded, window.kernel, window.stride, return_indices=True)
        row, column = index // padded.shape[-1] - window.pad[0], index % padded.shape[-1] - window.pad[1]
        index = row * width + column
    return top, torch.where(top > LOWEST, index, -1)


def sum_pool(x: Tensor, window: Window) -> Tensor:
    """Sums over windows of (N, C, H, W); pads count as zeros."""
    return F.avg_pool2d(window.padded(x, 0.0), window.kernel, window.stride, divisor_override=1)


def ave_pool(layer: Layer, x: Tensor, window: Window, pads: bool = True) -> Tensor:
    """Sums over windows, divided by `Window.areas`."""
    size = (x.shape[-2], x.shape[-1])
    ceil_mode = window.torch_ceil_mode(size)
    if ceil_mode is not None:
        return F.avg_pool2d(x, window.kernel, window.stride, window.pad, ceil_mode, count_include_pad=pads)
    (areas,) = layer.made_once(x, Window.areas, window, size, pads)
    return sum_pool(x, window) / areas


def onnx_pool(graph: Any, op: str, x: str, size: Any, window: Window, outputs: Any = 1, **attributes: Any) -> Any:
    """`op` (MaxPool or AveragePool) over planes of `size` with explicit pads, never with ceil_mode.

    onnxruntime wants every pad smaller than the kernel; a larger one becomes a Pad node. MaxPool, which leaves its pads
    out, gets pads that fit planes of every size where there are such.
    """
    before, after = window.pad, window.pads_after(size)
    if op == "MaxPool" and isinstance(outputs, list) and len(outputs) == 1:
        after = window.pads_after_any() or after
    pads = [*before, *after]
    if any(p >= k for p, k in zip(pads, window.kernel * 2, strict=True)):
        amounts = graph.const(np.array([0, 0, *before, 0, 0, *after], np.int64), "pads")
        value = graph.const(np.float32(LOWEST if op == "MaxPool" else 0), "pad_value")
        x, pads = graph.node("Pad", [x, amounts, value]), [0, 0, 0, 0]
    return graph.node(op, [x], outputs, kernel_shape=window.kernel, strides=window.stride, pads=pads, **attributes)


def onnx_ave(graph: Any, x: str, size: Any, window: Window, outputs: Any = 1, pads: bool = True) -> Any:
    """AVE: AveragePool divides by the whole kernel; windows that reach past the pad are corrected by a constant."""
    with np.errstate(divide="ignore"):
        (areas,) = window.areas(size, pads)
        correction = (window.kernel[0] * window.kernel[1] / areas).astype(np.float32)
    if np.all(correction == 1):
        return onnx_pool(graph, "AveragePool", x, size, window, outputs, count_include_pad=1)
    means = onnx_pool(graph, "AveragePool", x, size, window, count_include_pad=1)
    return graph.node("Mul", [means, graph.const(correction, "window_correction")], outputs)
