"""Normalize: every vector of channels (or every image) brought to length 1, then scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.proto import caffe_pb2


@register()
class Normalize(Layer):
    """y = scale * x / sqrt(sum x^2 + eps), the sum over the channels of a pixel, or over the image (`across_spatial`).

    Bottom: (N, C), (N, C, W) or (N, C, H, W); top: the same shape. Blob: scale, () with `channel_shared` and (C,)
    without, 1 unless `scale_filler` says otherwise.

    With one scale a channel the gradient to the bottom is SSD's, which is not the derivative: scale * J^T dy, where J
    is the derivative of the normalisation, instead of J^T (scale * dy); they agree where the scales are equal.
    Source: normalize_layer.cpp of SSD, after Liu et al., ParseNet, 2015. `F.normalize` clamps the length instead of
    adding eps under the root.
    """

    origin = "SSD"
    blob_names = ("scale",)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.top_shapes(bottom_shapes)
        p = self.param.norm_param
        one = caffe_pb2.FillerParameter(type="constant", value=1)
        shape = () if p.channel_shared else (bottom_shapes[0][1],)
        self.add_blob("scale", shape, p.scale_filler if p.HasField("scale_filler") else one)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if not 2 <= len(shape) <= 4:
            raise self.shape_error(f"the bottom must have 2 to 4 axes (num, channels, height, width), not {shape}")
        if "scale" in self.present_blobs and self.scale.dim() and self.scale.numel() != shape[1]:
            raise self.shape_error(f"there are {self.scale.numel()} scales, one a channel, but the bottom is {shape}")
        return [shape]

    def axes(self, rank: int) -> list[int]:
        """The axes that are summed over."""
        return list(range(1, rank)) if self.param.norm_param.across_spatial else [1]

    def forward(self, bottom: Tensor) -> Tensor:
        scale = self.scale if self.scale.dim() == 0 else self.scale.reshape(-1, *[1] * (bottom.dim() - 2))
        return _Normalize.apply(bottom, scale, self.axes(bottom.dim()), self.param.norm_param.eps)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        rank = len(graph.shape(bottoms[0]))
        squares = graph.node("ReduceSumSquare", bottoms, axes=self.axes(rank), keepdims=1)
        eps = graph.const(np.array(self.param.norm_param.eps, np.float32), "eps")
        length = graph.node("Sqrt", [graph.node("Add", [squares, eps])])
        scale = graph.blob(self, "scale")
        if self.scale.dim() and rank > 2:
            shape = graph.const(np.array([-1, *[1] * (rank - 2)], np.int64), "shape")
            scale = graph.node("Reshape", [scale, shape])
        graph.node("Mul", [graph.node("Div", [bottoms[0], length]), scale], tops)


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, scale: Tensor, axes: list[int], eps: float) -> Tensor:
        return x / ((x * x).sum(axes, keepdim=True) + eps).sqrt() * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, list[int], float], output: Tensor) -> None:
        x, scale, ctx.axes, ctx.eps = inputs
        ctx.save_for_backward(x, scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, scale = ctx.saved_tensors
        length = ((x * x).sum(ctx.axes, keepdim=True) + ctx.eps).sqrt()
        unit = x / length
        product = grad * unit
        to_x = scale * (grad - unit * product.sum(ctx.axes, keepdim=True)) / length
        return to_x, product.sum_to_size(scale.shape), None, None
