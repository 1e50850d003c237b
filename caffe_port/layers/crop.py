"""Crop: a window of one blob, of another blob's size."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Crop(Layer):
    """y = x[..., o_i : o_i + size_i, ...] for every axis i from `crop_param.axis` (default 2) on.

    Bottoms: x, and a reference whose sizes (not values) are taken; it gets no gradient. `offset` is given not at all
    (0), once (for all cropped axes) or once an axis. Top: x's shape before `axis`, the reference's from there on.
    ShapeError where the window leaves x, or the number of offsets does not fit.

    Source: crop_layer.cpp of BVLC Caffe 1.0.
    """

    bottoms = (2, 2)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.offsets = list(self.param.crop_param.offset)

    def _window(self, shapes: list[Shape]) -> list[tuple[int, int, int]]:
        """(axis, offset, size) of every cropped axis."""
        x, reference = shapes
        start = self.axis(self.param.crop_param.axis, len(x))
        offsets = self.offsets
        if len(offsets) > 1 and len(offsets) != len(x) - start:
            raise self.shape_error(
                f"{len(offsets)} offsets for {len(x) - start} cropped axes of {x}; give one, or one each"
            )
        if len(reference) < len(x):
            raise self.shape_error(f"the reference {reference} has fewer axes than {x}")
        if len(offsets) < 2:
            offsets = (offsets or [0]) * (len(x) - start)
        window = [(start + i, offset, reference[start + i]) for i, offset in enumerate(offsets)]
        for axis, offset, size in window:
            if offset + size > x[axis]:
                raise self.shape_error(f"axis {axis}: offset {offset} and size {size} leave {x}")
        return window

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        top = list(bottom_shapes[0])
        for axis, _, size in self._window(bottom_shapes):
            top[axis] = size
        return [tuple(top)]

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        for axis, offset, size in self._window([tuple(x.shape), tuple(reference.shape)]):
            x = x.narrow(axis, offset, size)
        return x

    def reads_values(self, bottom: int) -> bool:
        return bottom == 0

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        shape = graph.shape(bottoms[0])
        window = [w for w in self._window([graph.shape(b) for b in bottoms]) if w[2] != shape[w[0]]]
        if not window:
            graph.node("Identity", bottoms[:1], tops)
            return
        if window[0][0] == 0:
            raise self.unsupported("a crop of the batch axis has no ONNX form with a free batch size")
        axes, offsets, sizes = (np.array(column, np.int64) for column in zip(*window, strict=True))
        bounds = [graph.const(a, hint) for a, hint in ((offsets, "starts"), (offsets + sizes, "ends"), (axes, "axes"))]
        graph.node("Slice", [bottoms[0], *bounds], tops)
