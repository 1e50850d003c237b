"""PSROIPooling: means of bins over regions, each bin read from channels of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import regions
from caffe_port.layers.base import Layer, Shape, register


@register()
class PSROIPooling(Layer):
    """For each region g by g bins (`group_size`); bin (i, j) of output d is a mean over channel (d g + i) g + j.

    Bottoms: features (N, output_dim * g * g, H, W) and regions (R, 5): image, xmin, ymin, xmax, ymax in pixels of the
    picture. Top: (R, output_dim, g, g). A region runs from round(xmin) * `spatial_scale` to (round(xmax) + 1) *
    `spatial_scale`, and is at least 0.1 long; bins grow to whole pixels and are cut at the features' border. An empty
    bin is 0. No gradient to the regions. A region in an image that is not there is a LayerError on the CPU.

    Source: psroi_pooling_layer.cu of R-FCN (Dai et al., 2016, equation 1), which has no CPU form. Products with 0/1
    masks take the place of loops over pixels.
    """

    origin = "R-FCN"
    bottoms = (2, 2)
    differentiable_bottoms = (0,)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.psroi_pooling_param
        for field in ("spatial_scale", "output_dim", "group_size"):
            if getattr(p, field) <= 0:
                raise self.error(f"give {field}, and make it positive")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.psroi_pooling_param
        count = regions.check(self, *bottom_shapes)
        wanted = p.output_dim * p.group_size**2
        if bottom_shapes[0][1] != wanted:
            raise self.shape_error(
                f"output_dim {p.output_dim} and group_size {p.group_size} want {wanted} channels, "
                f"not {bottom_shapes[0][1]}"
            )
        return [(count, p.output_dim, p.group_size, p.group_size)]

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        p = self.param.psroi_pooling_param
        g = p.group_size
        image, corners = regions.split(self, features, rois)
        place = regions.rounded(corners)
        start, end = place[:, :2] * p.spatial_scale, (place[:, 2:] + 1) * p.spatial_scale
        size = (end - start).clamp(min=0.1)
        rows, columns = (
            _shares(regions.bins(start[:, axis], size[:, axis], g, length, relative=False), length, features)
            for axis, length in ((1, features.shape[2]), (0, features.shape[3]))
        )
        return regions.by_image(features.unflatten(1, (p.output_dim, g, g)), image, rows, columns)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.psroi_pooling_param
        g, (_, _, height, width) = p.group_size, graph.shape(bottoms[0])

        def ints(*values: int) -> str:
            return graph.const(np.array(values, np.int64), "ints")

        def number(value: float) -> str:
            return graph.const(np.array(value, np.float32), "number")

        rois = graph.node("Reshape", [bottoms[1], ints(-1, 5)])
        x = graph.node("Reshape", [bottoms[0], ints(0, p.output_dim, g, g, height, width)])
        x = graph.node("Gather", [x, self._onnx_image(graph, rois)], axis=0)
        # (R, d, g, g, H, W) times the columns' (R, 1, 1, g, W, 1), then the rows' (R, 1, g, 1, 1, H)
        for first, length, columns in ((1, width, True), (2, height, False)):
            start, end = (self._onnx_edge(graph, rois, i) for i in (first, first + 2))
            size = graph.node("Max", [graph.node("Sub", [end, start]), number(0.1)])
            step = graph.node("Div", [size, number(g)])
            edges = graph.const(np.arange(g + 1, dtype=np.float32), "edges")
            bounds = (graph.node("Gather", [edges, ints(*range(i, g + i))]) for i in (0, 1))
            low, high = (graph.node("Add", [graph.node("Mul", [edge, step]), start]) for edge in bounds)
            pixels = graph.const(np.arange(length, dtype=np.float32)[:, None, None], "pixels")
            inside = graph.node(
                "And",
                [
                    graph.node("GreaterOrEqual", [pixels, graph.node("Floor", [low])]),
                    graph.node("Less", [pixels, graph.node("Ceil", [high])]),
                ],
            )  # (W, R, g)
            mask = graph.node("Cast", [inside], to=1)
            count = graph.node("ReduceSum", [mask, ints(0)], keepdims=1)
            share = graph.node("Div", [mask, graph.node("Max", [count, number(1)])])
            share = graph.node("Transpose", [share], perm=[1, 2, 0])
            if columns:
                x = graph.node("MatMul", [x, graph.node("Unsqueeze", [share, ints(1, 2, 5)])])
            else:
                x = graph.node("MatMul", [graph.node("Unsqueeze", [share, ints(1, 3, 4)]), x])
        graph.node("Squeeze", [x, ints(4, 5)], tops)

    def _onnx_image(self, graph: Any, rois: str) -> str:
        column = graph.node("Gather", [rois, graph.const(np.array(0, np.int64), "column")], axis=1)
        return graph.node("Cast", [column], to=7)

    def _onnx_edge(self, graph: Any, rois: str, column: int) -> str:
        """(R, 1): the edge in `column` of the regions, in pixels of the features."""
        raw = graph.node("Gather", [rois, graph.const(np.array([column], np.int64), "column")], axis=1)
        half = graph.const(np.array(0.5, np.float32), "half")
        up = graph.node("Floor", [graph.node("Add", [graph.node("Abs", [raw]), half])])
        place = graph.node("Mul", [up, graph.node("Sign", [raw])])
        if column > 2:
            place = graph.node("Add", [place, graph.const(np.array(1, np.float32), "one")])
        scale = graph.const(np.array(self.param.psroi_pooling_param.spatial_scale, np.float32), "scale")
        return graph.node("Mul", [place, scale])


def _shares(window: tuple[Tensor, Tensor], length: int, like: Tensor) -> Tensor:
    """(R, bins, length): one over the bin's length inside it, 0 outside."""
    first, last = window
    pixel = torch.arange(length, device=first.device)
    inside = ((pixel >= first[..., None]) & (pixel < last[..., None])).to(like.dtype)
    return inside / (last - first).clamp(min=1)[..., None]
