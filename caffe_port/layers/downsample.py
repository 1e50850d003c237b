"""Downsample: smaller maps, each value a weighted mean of those around its place."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Downsample(Layer):
    """Bottom (N, C, H, W); top (N, C, h, w) of `top_height` and `top_width`, or of the size of a second bottom.

    The first and last rows of bottom and top lie on each other. A value is the mean of the bottom's around its place,
    weighted by max(0, 1 - distance / scale) along both axes, scale = (H - 1) / (h - 1), over the pixels within the
    scale, rounded up, of the nearest. NaN does not count; where NaN weighs more than half of what counts the value is
    NaN. A top of the bottom's size is the bottom. No gradient, as in its Caffe. Raises for a top of one row or column.

    Source: downsample_layer.cu of FlowNet (Dosovitskiy et al., 2015) and FlowNet2.
    """

    origin = "FlowNet2"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)
    differentiable_bottoms = ()

    def reads_values(self, bottom: int) -> bool:
        return bottom == 0

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p, shape = self.param.downsample_param, bottom_shapes[0]
        if any(len(s) != 4 for s in bottom_shapes):
            raise self.shape_error(f"the bottoms must have 4 axes (num, channels, height, width), not {bottom_shapes}")
        size = bottom_shapes[1][2:] if len(bottom_shapes) > 1 else (p.top_height, p.top_width)
        if min(size) < 1:
            raise self.error("give top_height and top_width, or a second bottom of the size that is wanted")
        if size != shape[2:] and min(*size, *shape[2:]) < 2:
            raise self.shape_error(f"{shape[2:]} cannot become {size}: rows and columns must be 2 or more")
        return [(*shape[:2], *size)]

    @torch.no_grad()
    def forward(self, x: Tensor, *size: Tensor) -> Tensor:
        (top,) = self.top_shapes([tuple(x.shape), *(tuple(s.shape) for s in size)])
        if top == tuple(x.shape):
            return x.clone()
        rows, columns = self.made_once(x, weights, tuple(x.shape[2:]), top[2:])
        nan = x.isnan()
        value, counted, lost = (rows @ y @ columns.T for y in (torch.where(nan, 0, x), (~nan).to(x), nan.to(x)))
        return torch.where(lost > 0.5 * counted, torch.nan, value / counted)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        (top,) = self.top_shapes([graph.shape(b) for b in bottoms])
        x, shape = bottoms[0], graph.shape(bottoms[0])
        if top == shape:
            graph.node("Identity", [x], tops)
            return
        rows, columns = (w.astype(np.float32) for w in weights(shape[2:], top[2:]))
        sides = graph.const(rows, "rows"), graph.const(np.ascontiguousarray(columns.T), "columns")

        def spread(y: str) -> Any:
            return graph.node("MatMul", [graph.node("MatMul", [sides[0], y]), sides[1]])

        def number(value: float) -> str:
            return graph.const(np.array(value, np.float32), "number")

        nan = graph.node("IsNaN", [x])
        value, lost = spread(graph.node("Where", [nan, number(0), x])), spread(graph.node("Cast", [nan], to=1))
        counted = spread(graph.node("Cast", [graph.node("Not", [nan])], to=1))
        bad = graph.node("Greater", [lost, graph.node("Mul", [counted, number(0.5)])])
        graph.node("Where", [bad, number(np.nan), graph.node("Div", [value, counted])], tops)


def weights(old: Shape, new: Shape) -> list[np.ndarray]:
    """(h, H) and (w, W): how much each row, and each column, of the bottom counts in the top's."""
    return [along(n, m) for n, m in zip(old, new, strict=True)]


def along(size: int, new: int) -> np.ndarray:
    """(new, size): how much each pixel counts in each value along an axis. Places in single precision, as in Caffe."""
    place = np.arange(new, dtype=np.float32) / np.float32(new - 1) * np.float32(size - 1)
    scale = np.float32(size - 1) / np.float32(new - 1)
    pixels = np.arange(size)
    near = np.abs(pixels - np.floor(place + np.float32(0.5))[:, None]) <= np.ceil(scale)
    return np.where(near, np.maximum(0, 1 - np.abs(pixels - place[:, None]) / scale), 0).astype(np.float64)
