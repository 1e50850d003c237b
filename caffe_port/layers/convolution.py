"""Convolution over any number of spatial axes that torch has (1 to 3), and Caffe's degenerate one over none."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.conv_geometry import FORK_FIELDS, SIDE_FIELDS, Geometry, as_batch, check_sizes, geometry, padded

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@register()
class Convolution(Layer):
    """y[o] = bias[o] + sum over i, offsets of weight[o, i, offset] * x[i, position * stride - pad + offset * dilation].

    Bottoms: any number of one shape (leading axes..., C, spatial...), C on `axis`; each has its top (leading axes...,
    num_output, sizes), all with the same weights. Sizes: (size + 2 pad - extent) / stride rounded
    down, plus 1; rounded towards 0 where the kernel is larger than the padded bottom, but by less than a stride.
    Blobs: weight (num_output, C / group, kernel...), bias (num_output) unless bias_term is false.
    `engine` and `force_nd_im2col` choose among Caffe's implementations and are read past. Forks' other spellings of
    dilation are read: dilation_h and dilation_w, and DeepLab's hole, hole_h and hole_w. So is Synopsys' pad for every
    side, pad_t, pad_b, pad_l and pad_r, whose two of an axis are then its 2 pad. Raises for kernel, stride or
    pad given twice, channels that group does not divide, a bottom without channels or pixels or too small for the
    kernel, and over 3 spatial axes. The leading axes may be empty.

    Source: src/caffe/layers/base_conv_layer.cpp, conv_layer.cpp. It is torch's conv (a correlation), but for `axis`.
    """

    blob_names: tuple[str, ...] = ("weight", "bias")
    top_is_free = True
    bottoms: ClassVar[tuple[int, int | None]] = (1, None)
    tops: ClassVar[tuple[int, int | None]] = (1, None)
    fork_fields: ClassVar[tuple[str, ...]] = (*FORK_FIELDS, *SIDE_FIELDS)
    reverse: ClassVar[bool] = False
    """Whether bottom and top change places (Deconvolution)."""

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p, shape = self.param.convolution_param, bottom_shapes[0]
        self.geometry: Geometry = geometry(self, shape)
        self.channels = shape[self.geometry.axis]
        if len(self.geometry.kernel) > 3:
            raise self.unsupported(f"{len(self.geometry.kernel)} spatial axes; 1 to 3 can be done")
        if len(bottom_shapes) != len(self.param.top):
            raise self.error(f"needs one top for each bottom, but has {len(bottom_shapes)} and {len(self.param.top)}")
        if p.num_output < 1:
            raise self.error("num_output must be given and positive")
        if p.group < 1 or self.channels % p.group or p.num_output % p.group:
            raise self.error(f"group {p.group} must divide the {self.channels} channels and num_output {p.num_output}")
        outer, inner = (self.channels, p.num_output) if self.reverse else (p.num_output, self.channels)
        self.add_blob("weight", (outer, inner // p.group, *self.geometry.kernel), p.weight_filler)
        if p.bias_term:
            self.add_blob("bias", (p.num_output,), p.bias_filler)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape, g = bottom_shapes[0], self.geometry
        for other in bottom_shapes[1:]:
            if other != shape:
                raise self.shape_error(f"all bottoms must have one shape, but there are {shape} and {other}")
        if len(shape) != g.axis + 1 + len(g.kernel) or shape[g.axis] != self.channels:
            raise self.shape_error(
                f"made for {self.channels} channels on axis {g.axis} and {len(g.kernel)} spatial axes, "
                f"not for a bottom {shape}"
            )
        spatial = shape[g.axis + 1 :]
        if not self.channels or 0 in spatial:
            raise self.shape_error(f"a bottom of {shape} has no channel or no pixel")
        sizes = g.up_sizes(spatial) if self.reverse else g.out_sizes(spatial)
        check_sizes(self, shape, sizes)
        return [(*shape[: g.axis], self.param.convolution_param.num_output, *sizes)] * len(bottom_shapes)

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        tops = tuple(self.one(b) for b in bottoms)
        return tops if len(tops) > 1 else tops[0]

    def one(self, bottom: Tensor) -> Tensor:
        spatial = len(self.geometry.kernel)
        bias = self.bias if self.param.convolution_param.bias_term else None
        weight = self.weight if spatial else self.weight.unsqueeze(-1)
        if self.geometry.axis == 1 and spatial:
            return self.product(bottom, weight, bias)
        top = self.product(as_batch(bottom, self.geometry.axis, spatial), weight, bias)
        return top.reshape(self.top_shapes([tuple(bottom.shape)])[0])

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        g = self.geometry
        conv = CONV[len(g.kernel) or 1]
        x = padded(x, g.beyond(g.missing(tuple(x.shape[2:])))) if g.kernel else x
        return conv(x, weight, bias, g.stride or 1, g.common or 0, g.dilation or 1, self.param.convolution_param.group)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        g, p = self.geometry, self.param.convolution_param
        weight = graph.blob(self, "weight")
        if not g.kernel:
            weight = graph.node("Unsqueeze", [weight, graph.const(np.array([2], np.int64), "axes")])
        blobs = [weight, graph.blob(self, "bias")] if p.bias_term else [weight]
        op = "ConvTranspose" if self.reverse else "Conv"
        for x, top in zip(bottoms, tops, strict=True):
            shape = graph.shape(x)
            missing = (0,) * len(g.kernel) if self.reverse else g.missing(shape[g.axis + 1 :])
            options = {"group": p.group, **g.onnx(missing)}
            if g.axis == 1 and g.kernel:
                graph.node(op, [x, *blobs], [top], **options)
                continue
            result = self.top_shapes([shape])[0]
            flat = graph.const(np.array([-1, *(shape[g.axis :] if g.kernel else [self.channels, 1])], np.int64), "flat")
            y = graph.node(op, [graph.node("Reshape", [x, flat]), *blobs], **options)
            # The first axis may be a batch of any size; without leading axes the whole shape is known.
            back = result if g.axis == 0 else (-1, *result[1:])
            graph.node("Reshape", [y, graph.const(np.array(back, np.int64), "shape")], [top])

    def macs(self, bottom_shapes: list[Shape], top_shapes: list[Shape]) -> int:
        pixels = sum(math.prod(s) for s in (bottom_shapes if self.reverse else top_shapes))
        return pixels * math.prod(self.weight.shape[1:])
