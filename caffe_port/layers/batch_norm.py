"""BatchNorm: every channel to mean 0 and variance 1, by the batch's statistics or by the stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import TEST, Layer, Shape, register


@register()
class BatchNorm(Layer):
    """y = (x - mean) / sqrt(variance + eps), per channel (axis 1). No slope and no bias: those are Scale's.

    Bottom and top: (N, C, ...). Blobs, all statistics that no solver moves: mean (C), variance (C), scale_factor (1).
    The first two are running sums, which count scale_factor times:

    * use_global_stats (by default in the TEST phase): mean / scale_factor and variance / scale_factor normalise; 0
      when scale_factor is 0. Their gradient is top_diff / sqrt(variance + eps).
    * otherwise the batch's mean and variance (divided by m = N * spatial) normalise, and each forward makes
      scale_factor := f * scale_factor + 1, mean := f * mean + batch mean, and
      variance := f * variance + batch variance * m / (m - 1), with f = moving_average_fraction (at m = 1 without the
      factor).

    A bottom of one axis is one channel, where Caffe aborts. An empty batch changes no statistics.
    Source: src/caffe/layers/batch_norm_layer.cpp. torch keeps averages instead of sums with a count, and its momentum
    is 1 - f.
    """

    blob_names: ClassVar[tuple[str, ...]] = ("mean", "variance", "scale_factor")
    frozen_blobs: ClassVar[bool] = True
    top_is_free = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p, shape = self.param.batch_norm_param, bottom_shapes[0]
        self.use_global_stats: bool = p.use_global_stats if p.HasField("use_global_stats") else self.phase == TEST
        if not shape:
            raise self.shape_error("the bottom has no axis")
        channels = 1 if len(shape) == 1 else shape[1]
        for name, size in zip(self.blob_names, (channels, channels, 1), strict=True):
            self.add_blob(name, (size,), learned=False)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) > 1 and shape[1] != self.mean.shape[0]:
            raise self.shape_error(f"made for {self.mean.shape[0]} channels, but the bottom is {shape}")
        return [shape]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """The stored mean and variance, freed of their count."""
        factor = self.scale_factor.reciprocal().nan_to_num(posinf=0.0, neginf=0.0)
        return self.mean * factor, self.variance * factor

    def forward(self, bottom: Tensor) -> Tensor:
        return self.normalise(bottom, None, None)

    def normalise(self, bottom: Tensor, slope: Tensor | None, bias: Tensor | None) -> Tensor:
        """Forward, and in the same pass the slope and bias of a Scale that follows (C each, or None)."""
        if bottom.dim() == 1:
            return self.normalise(bottom.unsqueeze(1), slope, bias).squeeze(1)
        eps = self.param.batch_norm_param.eps
        if self.use_global_stats:
            return F.batch_norm(bottom, *self.statistics(), slope, bias, eps=eps)
        if bottom.numel() == 0:
            return bottom
        if bottom.numel() == bottom.shape[1]:  # m = 1, which torch refuses
            self.update(bottom.detach().flatten(), torch.zeros_like(self.variance))
            top = bottom * 0
            return top if bias is None else top + bias.reshape(1, -1, *[1] * (bottom.dim() - 2))
        mean, variance = (bottom.new_zeros(bottom.shape[1]) for _ in range(2))
        # With momentum 1 torch leaves exactly the batch's mean and its variance times m / (m - 1) here.
        top = F.batch_norm(bottom, mean, variance, slope, bias, training=True, momentum=1.0, eps=eps)
        self.update(mean, variance)
        return top

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor) -> None:
        fraction = self.param.batch_norm_param.moving_average_fraction
        self.scale_factor.mul_(fraction).add_(1)
        self.mean.mul_(fraction).add_(mean)
        self.variance.mul_(fraction).add_(variance)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        x, eps, shape = bottoms[0], self.param.batch_norm_param.eps, graph.shape(bottoms[0])
        if self.use_global_stats and len(shape) > 1:
            mean, variance = (s.detach().cpu().numpy().astype(np.float32) for s in self.statistics())
            one, zero = np.ones_like(mean), np.zeros_like(mean)
            names = ("scale", "bias", "mean", "variance")
            blobs = [graph.const(a, n) for a, n in zip((one, zero, mean, variance), names, strict=True)]
            graph.node("BatchNormalization", [x, *blobs], tops, epsilon=eps)
            return
        if self.use_global_stats:
            mean, variance = (s.detach().cpu().numpy().astype(np.float32) for s in self.statistics())
            centred = graph.node("Sub", [x, graph.const(mean, "mean")])
            spread: str = graph.const(variance, "variance")
        else:
            axes = [i for i in range(len(shape)) if i != 1]
            centred = graph.node("Sub", [x, graph.node("ReduceMean", [x], axes=axes, keepdims=1)])
            spread = graph.node("ReduceMean", [graph.node("Mul", [centred, centred])], axes=axes, keepdims=1)
        root = graph.node("Sqrt", [graph.node("Add", [spread, graph.const(np.float32(eps), "eps")])])
        graph.node("Div", [centred, root], tops)


def hold_still(layer: Layer, names: Sequence[str]) -> None:
    """Write lr_mult 0 for these blobs into the layer's own copy of its definition, as Caffe's layers do."""
    specs = layer.param.param
    while len(specs) < len(layer.present_blobs):
        specs.add()
    for i, name in enumerate(layer.present_blobs):
        if name in names:
            specs[i].lr_mult = specs[i].decay_mult = 0
