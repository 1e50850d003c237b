"""Interp: planes brought to another size, bilinear, corners on corners."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Interp(Layer):
    """Bottom (N, C, H, W); top (N, C, h, w): planes, cropped first, with the new pixels evenly between their corners.

    pad_beg and pad_end, which must not be positive, crop: -pad_beg pixels above and on the left, -pad_end below and on
    the right. Then, with H and W what is left: `shrink_factor` gives (H - 1) / s + 1, rounded down; `zoom_factor`
    H + (H - 1)(z - 1); `height` and `width` themselves; and both factors the shrunk size, zoomed. They count in this
    order: one factor alone beats height and width, these beat the two factors. One new pixel shows the first.
    Raises where none is given, for factors below 1, and where nothing is left of the plane.

    Source: interp_layer.cpp and util/interp.cpp of DeepLab and PSPNet (G. Papandreou). It is `F.interpolate` with
    align_corners=True.
    """

    origin = "DeepLab"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.interp_param
        if p.pad_beg > 0 or p.pad_end > 0:
            raise self.error(f"pad_beg {p.pad_beg} and pad_end {p.pad_end} can only crop: 0 or below")
        if p.zoom_factor < 1 or p.shrink_factor < 1:
            raise self.error(f"zoom_factor {p.zoom_factor} and shrink_factor {p.shrink_factor} must be at least 1")
        factors = p.HasField("zoom_factor") or p.HasField("shrink_factor")
        if not factors and not (p.HasField("height") and p.HasField("width")):
            raise self.error("needs height and width, or zoom_factor, or shrink_factor")

    def new_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size that a cropped plane becomes."""
        p = self.param.interp_param
        one_factor = p.HasField("shrink_factor") != p.HasField("zoom_factor")
        if not one_factor and p.HasField("height") and p.HasField("width"):
            return p.height, p.width
        shrunk = [(n - 1) // p.shrink_factor + 1 for n in size]
        height, width = (n + (n - 1) * (p.zoom_factor - 1) for n in shrunk)
        return height, width

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width), not {shape}")
        p = self.param.interp_param
        cropped = (shape[2] + p.pad_beg + p.pad_end, shape[3] + p.pad_beg + p.pad_end)
        if min(cropped) < 1:
            raise self.shape_error(f"pad_beg {p.pad_beg} and pad_end {p.pad_end} leave nothing of a plane {shape[2:]}")
        size = self.new_size(cropped)
        if min(size) < 1:
            raise self.shape_error(f"the new size {size} must be positive")
        return [(*shape[:2], *size)]

    def window(self, size: Any) -> tuple[slice, slice]:
        """What cropping leaves of a plane."""
        p = self.param.interp_param
        rows, columns = (slice(-p.pad_beg, n + p.pad_end) for n in size)
        return rows, columns

    def forward(self, bottom: Tensor) -> Tensor:
        rows, columns = self.window(bottom.shape[2:])
        x = bottom[:, :, rows, columns]
        size = self.new_size((x.shape[2], x.shape[3]))
        if tuple(x.shape[2:]) == size:
            return x
        if x.numel() == 0:  # which torch refuses
            return x.new_zeros((*x.shape[:2], *size))
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        x, shape = bottoms[0], graph.shape(bottoms[0])
        p = self.param.interp_param
        rows, columns = self.window(shape[2:])
        if p.pad_beg or p.pad_end:
            starts, ends, axes = (
                graph.const(np.array(v, np.int64), n)
                for v, n in (([rows.start, columns.start], "starts"), ([rows.stop, columns.stop], "ends"),
                             ([2, 3], "axes"))
            )  # fmt: skip
            x = graph.node("Slice", [x, starts, ends, axes])
        cropped = (rows.stop - rows.start, columns.stop - columns.start)
        onnx_resize(graph, x, cropped, self.new_size(cropped), tops, "linear", "align_corners")


def onnx_resize(
    graph: OnnxGraph, x: str, size: tuple[int, int], new: tuple[int, int], tops: list[str], mode: str, places: str,
    **attributes: Any,
) -> None:
    """Resize planes. By scales, since sizes would write the batch size down."""
    scales = np.array([1, 1, new[0] / size[0], new[1] / size[1]], np.float32)
    made = [int(np.floor(np.float32(n) * s)) for n, s in zip(size, scales[2:], strict=True)]
    if made != list(new):  # the quotient was rounded to below: the next number up still rounds down to the same size
        scales[2:] = np.nextafter(scales[2:], np.float32(np.inf))
    inputs = [x, "", graph.const(scales, "scales")]
    graph.node("Resize", inputs, tops, mode=mode, coordinate_transformation_mode=places, **attributes)
