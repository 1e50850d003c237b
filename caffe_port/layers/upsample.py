"""Upsample: every pixel repeated, or every pixel back where a pooling took it from."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.layers.interp import onnx_resize


@register()
class Upsample(Layer):
    """One bottom (N, C, H, W): every pixel becomes `scale` x `scale` of itself. Two: the inverse of MAX pooling.

    With a second bottom, the mask (N, C, H, W) that a MAX Pooling gave as its second top, every value goes to the place
    row * w + column of its plane that the mask names, and all else is 0. Top (N, C, h, w): `upsample_h` and
    `upsample_w`; or the sizes times `scale` (2 unless given), or times scale_h and scale_w, less one where pad_out_h or
    pad_out_w says so. Where two values go to one place the later one shows, and both get that place's gradient, as in
    Caffe (so this is not the derivative). -1, our Pooling's mark of a window that nothing won, goes nowhere; any other
    place out of the plane raises (CPU). The mask gets no gradient.

    Source: upsample_layer.cpp of MobileNet-YOLO (one bottom) and of caffe-segnet (two). `F.max_unpool2d` is the same
    where no two values meet. Raises for a `scale` that is no whole number, which some forks' schemas can hold.
    """

    origin = "MobileNet-YOLO, SegNet"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)
    differentiable_bottoms: tuple[int, ...] | None = (0,)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.upsample_param
        self.masked = len(bottom_shapes) > 1
        segnets = [f for f in ("scale_h", "scale_w", "pad_out_h", "pad_out_w", "upsample_h", "upsample_w")
                   if p.HasField(f)]  # fmt: skip
        if not self.masked and segnets:
            raise self.error(f"{segnets[0]} belongs to the layer with a mask as second bottom; with one, give scale")
        if p.scale != int(p.scale) or p.scale < 1:
            raise self.unsupported(f"scale {p.scale:g}; whole numbers from 1 can be done")
        if not self.masked:
            return
        for pair in (("scale_h", "scale_w"), ("upsample_h", "upsample_w")):
            if p.HasField(pair[0]) != p.HasField(pair[1]):
                raise self.error(f"{pair[0]} and {pair[1]} belong together: give both or neither")
        if p.HasField("upsample_h"):
            return
        if p.HasField("scale") and p.HasField("scale_h"):
            raise self.error("give scale, or scale_h and scale_w, not both")
        for pad, scale in zip((p.pad_out_h, p.pad_out_w), self.scales, strict=True):
            if pad and scale != 2:
                raise self.error(f"pad_out_h and pad_out_w go with a scale of 2 only, not {scale}")

    @property
    def scales(self) -> tuple[int, int]:
        p = self.param.upsample_param
        if p.HasField("scale_h"):
            return p.scale_h, p.scale_w
        scale = 2 if self.masked and not p.HasField("scale") else int(p.scale)
        return scale, scale

    def size(self, shape: Any) -> tuple[int, int]:
        p = self.param.upsample_param
        if p.HasField("upsample_h"):
            return p.upsample_h, p.upsample_w
        high, wide = self.scales
        return shape[-2] * high - p.pad_out_h, shape[-1] * wide - p.pad_out_w

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width), not {shape}")
        if self.masked and bottom_shapes[1] != shape:
            raise self.shape_error(f"the mask {bottom_shapes[1]} must be as large as the bottom {shape}")
        return [(*shape[:2], *self.size(shape))]

    def forward(self, bottom: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            return placed(bottom, places(self, mask, self.size(bottom.shape)), self.size(bottom.shape))
        scale = self.scales[0]
        return bottom.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        shape = graph.shape(bottoms[0])
        if self.masked:
            index = graph.node("Cast", [bottoms[1]], to=7)  # TensorProto.INT64
            onnx_placed(graph, bottoms[0], index, shape, self.size(shape), tops)
            return
        size, new = (shape[2], shape[3]), self.size(shape)
        onnx_resize(graph, bottoms[0], size, new, tops, "nearest", "asymmetric", nearest_mode="floor")


def places(layer: Layer, mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The mask as whole numbers from 0; -1 becomes the number behind the plane's last."""
    index, area = mask.detach().long(), size[0] * size[1]
    if index.device.type == "cpu" and not torch.compiler.is_compiling():
        bad = (index < -1) | (index >= area)
        if bad.any():
            at = tuple(bad.nonzero()[0].tolist())
            raise layer.error(
                f"the mask names place {index[at].item()} at {at}, but the top's planes are {size[0]} x {size[1]}; "
                "its size must be that of the pooling's bottom"
            )
    return torch.where(index < 0, area, index)


def placed(x: Tensor, index: Tensor, size: tuple[int, int]) -> Tensor:
    """Planes of `size`, 0 but for the values of `x` at `index` (as `places` gives it)."""
    return _Placed.apply(x, index.flatten(2), size[0] * size[1]).unflatten(2, size)


class _Placed(torch.autograd.Function):
    """Values to places; backward reads each value's place, also where another value covered it."""

    @staticmethod
    def forward(x: Tensor, index: Tensor, area: int) -> Tensor:
        return x.new_zeros((*x.shape[:2], area + 1)).scatter_(2, index, x.flatten(2))[:, :, :area].contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        x, index, _ = inputs
        ctx.shape = x.shape
        ctx.save_for_backward(index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        padded = torch.cat([grad, grad.new_zeros((*grad.shape[:2], 1))], 2)
        return padded.gather(2, index).reshape(ctx.shape), None, None


def onnx_placed(graph: OnnxGraph, x: str, index: str, shape: Shape, size: tuple[int, int], tops: list[str]) -> None:
    """As `placed`; ONNX counts -1 from the end, which is the place behind the plane here too."""
    area = size[0] * size[1]
    rows = graph.const(np.array([0, 0, -1], np.int64), "rows")
    flat, where = (graph.node("Reshape", [name, rows]) for name in (x, index))
    # Zeros of (N, C, area + 1), without the batch size: one column of the bottom times 0 would keep its NaN.
    first = graph.node("Shape", [flat])
    lead = graph.node("Slice", [first, *(graph.const(np.array([v], np.int64), "bound") for v in (0, 2))])
    counts = graph.node("Concat", [lead, graph.const(np.array([area + 1], np.int64), "area")], axis=0)
    zeros = graph.node("Expand", [graph.const(np.array(0, np.float32), "zero"), counts])
    full = graph.node("ScatterElements", [zeros, where, flat], axis=2)
    bounds = [graph.const(np.array([v], np.int64), "bound") for v in (0, area, 2)]
    whole = graph.node("Slice", [full, *bounds])
    graph.node("Reshape", [whole, graph.const(np.array([0, 0, *size], np.int64), "plane")], tops)
