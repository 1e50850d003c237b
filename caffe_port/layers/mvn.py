"""MVN: every plane (or every item) to mean 0 and, if wanted, deviation 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


@register()
class MVN(Layer):
    """y = (x - mean) / (sqrt(variance) + eps), over each (H, W), or over each (C, H, W) with across_channels.

    Bottom (N, C, H, W), missing axes at the end counting 1; top with these 4 axes, as in Caffe. Without
    normalize_variance only the mean is subtracted. The variance is the mean square; eps stands outside the root.
    The gradient is Caffe's, (dy - mean(dy) - y * mean(dy * y)) / (sqrt(variance) + eps), which is the derivative for
    eps 0 and finite where the variance is 0; also in place, where Caffe's own diffs overwrite each other. Raises for a
    bottom of over 4 axes.
    Source: src/caffe/layers/mvn_layer.cpp. torch's instance and layer norm have eps under the root.
    """

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) > 4:
            raise self.shape_error(f"the bottom may have at most 4 axes (num, channels, height, width), not {shape}")
        return [shape + (1,) * (4 - len(shape))]

    def axes(self) -> tuple[int, ...]:
        return (1, 2, 3) if self.param.mvn_param.across_channels else (2, 3)

    def forward(self, bottom: Tensor) -> Tensor:
        x = bottom.reshape(tuple(bottom.shape) + (1,) * (4 - bottom.dim()))
        p = self.param.mvn_param
        if not p.normalize_variance:
            return x - x.mean(self.axes(), keepdim=True)
        return Normalised.apply(x, self.axes(), p.eps)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, x, shape = self.param.mvn_param, bottoms[0], graph.shape(bottoms[0])
        if len(shape) < 4:
            full = [0] * len(shape) + [1] * (4 - len(shape))
            x = graph.node("Reshape", [x, graph.const(np.array(full, np.int64), "shape")])
        axes = list(self.axes())
        mean = graph.node("ReduceMean", [x], axes=axes, keepdims=1)
        centred = graph.node("Sub", [x, mean], 1 if p.normalize_variance else tops)
        if p.normalize_variance:
            variance = graph.node("ReduceMean", [graph.node("Mul", [centred, centred])], axes=axes, keepdims=1)
            eps = graph.const(np.float32(p.eps), "eps")
            graph.node("Div", [centred, graph.node("Add", [graph.node("Sqrt", [variance]), eps])], tops)


class Normalised(torch.autograd.Function):
    """(x - mean) / (deviation + eps) with the gradient that Caffe writes down (mvn_layer.cpp:90-115)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
        centred = x - x.mean(axes, keepdim=True)
        scale = centred.square().mean(axes, keepdim=True).sqrt() + eps
        y = centred / scale
        ctx.axes = axes
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        dy = gradients[0]
        y, scale = ctx.saved_tensors
        mean = dy.mean(ctx.axes, keepdim=True)
        along = (dy * y).mean(ctx.axes, keepdim=True)
        return (dy - mean - y * along) / scale, None, None
