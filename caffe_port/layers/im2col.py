"""Im2col: the windows that a convolution sees, laid out as channels."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.conv_geometry import FORK_FIELDS, Geometry, check_sizes, geometry


@register()
class Im2col(Layer):
    """Bottom (leading axes..., C, spatial...), C on `axis`; top (leading axes..., C * kernel size, sizes).

    Top channel (c, offset), the offset in row-major order, holds x[c, position * stride - pad + offset * dilation],
    0 in the pad. Any number of spatial axes from 1. Sizes and options are Convolution's; force_nd_im2col is read past.
    Raises as Convolution does. Source: src/caffe/layers/im2col_layer.cpp, src/caffe/util/im2col.cpp.
    torch.nn.functional.unfold does 2 spatial axes only and joins them into one.
    """

    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    fork_fields: ClassVar[tuple[str, ...]] = FORK_FIELDS

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.geometry: Geometry = geometry(self, bottom_shapes[0])
        if not self.geometry.kernel:
            raise self.shape_error(f"the bottom {bottom_shapes[0]} has no spatial axis after its channel axis")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape, g = bottom_shapes[0], self.geometry
        if len(shape) != g.axis + 1 + len(g.kernel):
            raise self.shape_error(f"the bottom must keep its {g.axis + 1 + len(g.kernel)} axes, but is now {shape}")
        sizes = g.out_sizes(shape[g.axis + 1 :])
        check_sizes(self, shape, sizes)
        return [(*shape[: g.axis], shape[g.axis] * math.prod(g.kernel), *sizes)]

    def pads(self, shape: Shape) -> tuple[list[int], list[int]]:
        """Zeros before and after each spatial axis."""
        missing = self.geometry.missing(shape[self.geometry.axis + 1 :])
        return list(self.geometry.pad), [p + m for p, m in zip(self.geometry.pad, missing, strict=True)]

    def places(self, shape: Shape) -> list[np.ndarray]:
        """For each spatial axis, which padded pixel each (offset, window) sees."""
        g = self.geometry
        sizes = self.top_shapes([shape])[0][g.axis + 1 :]
        axes = zip(g.kernel, g.dilation, sizes, g.stride, strict=True)
        return [np.arange(k)[:, None] * d + np.arange(n) * s for k, d, n, s in axes]

    def order(self) -> list[int]:
        """From (leading, C, k1, n1, k2, n2, ...) to (leading, C, k1, k2, ..., n1, n2, ...)."""
        first = self.geometry.axis + 1
        last = first + 2 * len(self.geometry.kernel)
        return [*range(first), *range(first, last, 2), *range(first + 1, last, 2)]

    def forward(self, bottom: Tensor) -> Tensor:
        shape = tuple(bottom.shape)
        pads, after = self.pads(shape)
        x = F.pad(bottom, [p for both in zip(reversed(pads), reversed(after), strict=True) for p in both])
        for i, place in enumerate(self.made_once(x, self.places, shape)):
            axis = self.geometry.axis + 1 + 2 * i
            x = x.index_select(axis, place.flatten()).unflatten(axis, place.shape)
        return x.permute(self.order()).reshape(self.top_shapes([shape])[0])

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        x, shape, first = bottoms[0], graph.shape(bottoms[0]), self.geometry.axis + 1
        pads, after = self.pads(shape)
        if any(after):
            amounts = [0] * first + pads + [0] * first + after
            x = graph.node("Pad", [x, graph.const(np.array(amounts, np.int64), "pads")])
        for i, place in enumerate(self.places(shape)):
            x = graph.node("Gather", [x, graph.const(place.astype(np.int64), "places")], axis=first + 2 * i)
        x = graph.node("Transpose", [x], perm=self.order())
        top = self.top_shapes([shape])[0]
        known = top if self.geometry.axis == 0 else (-1, *top[1:])
        graph.node("Reshape", [x, graph.const(np.array(known, np.int64), "shape")], tops)
