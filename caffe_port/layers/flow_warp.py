"""FlowWarp: every pixel fetched from where the flow points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.proto import caffe_pb2


@register()
class FlowWarp(Layer):
    """top[y, x] = image at (y + v, x + u), bilinear, where (u, v) = the flow at (y, x).

    Bottoms: image (N, C, H, W), flow (N, 2, H, W), u in channel 0, in pixels. Top like the image. Places from H - 1 to
    H, or W - 1 to W, show the last row or column; others outside, and NaN, show `fill_value`: 0, or NaN with
    NOT_A_NUMBER, and give no gradient. Both bottoms get gradients. Raises where the shapes are others.

    Source: flow_warp_layer.cpp of lmb-freiburg/flownet2 (Ilg et al., 2017). `F.grid_sample` counts places from -1 to 1
    and cuts off elsewhere.
    """

    origin = "FlowNet2"
    beyond: ClassVar[bool] = True
    """Whether places past the last pixel, by less than one, show that pixel."""
    bottoms: ClassVar[tuple[int, int | None]] = (2, 2)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        image, flow = bottom_shapes
        if len(image) != 4 or flow != (image[0], 2, *image[2:]):
            raise self.shape_error(f"an image (N, C, H, W) wants a flow (N, 2, H, W); they are {image} and {flow}")
        return [image]

    @property
    def fill(self) -> float:
        nothing = self.param.flow_warp_param.fill_value == caffe_pb2.FlowWarpParameter.NOT_A_NUMBER
        return float("nan") if nothing else 0.0

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        return self.fetched(image, flow, torch.floor)

    def fetched(self, image: Tensor, flow: Tensor, before: Callable[[Tensor], Tensor]) -> Tensor:
        """Between the pixels `before` each place and those behind them."""
        n, c, h, w = image.shape
        column = flow[:, 0] + torch.arange(w, device=flow.device, dtype=flow.dtype)
        row = flow[:, 1] + torch.arange(h, device=flow.device, dtype=flow.dtype)[:, None]
        inside = (column >= 0) & (row >= 0)
        inside &= (column < w) & (row < h) if self.beyond else (column <= w - 1) & (row <= h - 1)
        column, row = (torch.where(inside, place, 0) for place in (column, row))
        left, top = before(column.detach()).long(), before(row.detach()).long()
        right, bottom = (left + 1).clamp(max=w - 1), (top + 1).clamp(max=h - 1)
        alpha, beta = (column - left).unsqueeze(1), (row - top).unsqueeze(1)
        flat = image.flatten(2)

        def pixels(y: Tensor, x: Tensor) -> Tensor:
            at = (y.clamp(min=0) * w + x.clamp(min=0)).reshape(n, 1, h * w)
            return flat.gather(2, at.expand(n, c, h * w)).reshape(image.shape)

        above = (1 - alpha) * pixels(top, left) + alpha * pixels(top, right)
        below = (1 - alpha) * pixels(bottom, left) + alpha * pixels(bottom, right)
        return torch.where(inside.unsqueeze(1), (1 - beta) * above + beta * below, self.fill)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        image, flow = bottoms
        h, w = graph.shape(image)[2:]
        own = np.stack(np.broadcast_arrays(np.arange(w), np.arange(h)[:, None])).astype(np.float32)
        place = graph.node("Add", [flow, graph.const(own, "own_place")])
        end = graph.const(np.array([w, h] if self.beyond else [w - 1, h - 1], np.float32).reshape(2, 1, 1), "size")
        zero = graph.const(np.array(0, np.float32), "zero")
        not_before = graph.node("GreaterOrEqual", [place, zero])
        not_behind = graph.node("Less" if self.beyond else "LessOrEqual", [place, end])
        both = graph.node("Cast", [graph.node("And", [not_before, not_behind])], to=1)
        inside = graph.node("Cast", [graph.node("ReduceMin", [both], axes=[1], keepdims=1)], to=9)  # FLOAT, BOOL
        place = graph.node("Where", [inside, place, zero])
        # GridSample counts a line of n pixels from -1 to 1.
        scale = np.array([2 / max(1, w - 1), 2 / max(1, h - 1)], np.float32).reshape(2, 1, 1)
        grid = graph.node("Mul", [place, graph.const(scale, "scale")])
        grid = graph.node("Sub", [grid, graph.const(np.array(1, np.float32), "one")])
        grid = graph.node("Transpose", [grid], perm=[0, 2, 3, 1])
        options: dict[str, Any] = {"mode": "bilinear", "padding_mode": "border", "align_corners": 1}
        warped = graph.node("GridSample", [image, grid], **options)
        graph.node("Where", [inside, warped, graph.const(np.array(self.fill, np.float32), "fill")], tops)
