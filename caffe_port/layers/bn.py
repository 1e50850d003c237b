"""BN: every channel to mean 0 and variance 1, then a slope and a bias of its own; PSPNet's layer and SegNet's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import TEST, Layer, OnnxGraph, Shape, register
from caffe_port.layers.batch_norm import by_all_batches, hold_still
from caffe_port.proto import caffe_pb2

INFERENCE = caffe_pb2.BNParameter.INFERENCE
SEGNET = ("scale_filler", "shift_filler", "bn_mode")
PSPNET = ("slope_filler", "bias_filler", "momentum", "eps", "frozen")
SEGNET_EPS = 1e-9


@register()
class BN(Layer):
    """y = slope * (x - mean) / sqrt(variance + eps) + bias, per channel (axis 1). Bottom and top: (N, C, ...).

    Two Caffes have a layer of this name. Which is meant shows by the options; where there are none it is PSPNet's.
    A third has both and says PSPNet's by `icnet: true`.

    PSPNet (slope_filler, bias_filler, momentum, eps, frozen). Blobs, each (1, C, 1, 1): slope, bias, mean, variance; no
    solver moves the last two, whose lr_mult becomes 0 as in Caffe. TEST, or `frozen`: the stored mean and variance.
    TRAIN: the batch's, and stored := momentum * stored + (1 - momentum) * batch's; the variance is that divided by m.
    `frozen` stores a variance of 1 at first, and gives no gradient to slope and bias.

    SegNet and DeconvNet (scale_filler, shift_filler, bn_mode). Blobs: scale (our slope) and shift (our bias). LEARN, in
    both phases: the batch's mean and variance, eps 1e-9; a second and third top, (1, C, 1, 1), show them. INFERENCE:
    y = scale * x + shift, since SegNet folds the statistics into the blobs after training.

    All fillers give 0 unless told otherwise, as in Caffe. Raises for options of both kinds. The gradient in the TEST
    phase is the derivative, where PSPNet's is that of the batch's statistics.

    Source: bn_layer.cpp of PSPNet (Zhao et al., 2017), of caffe-segnet (Badrinarayanan et al., 2015) and of Synopsys'
    Caffe (`icnet`). torch's batch_norm stores the variance times m / (m - 1), and its momentum is 1 - momentum.
    """

    origin = "PSPNet, SegNet"
    tops: ClassVar[tuple[int, int | None]] = (1, 3)
    blob_names: tuple[str, ...] = ("slope", "bias", "mean", "variance")
    top_is_free = True
    total: Callable[[Tensor], Tensor] | None = None  # see BatchNorm

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p, shape = self.param.bn_param, bottom_shapes[0]
        segnet, pspnet = ([f for f in fields if p.HasField(f)] for fields in (SEGNET, PSPNET))
        pspnet += ["icnet"] * p.icnet
        if segnet and pspnet:
            raise self.error(f"{segnet[0]} is SegNet's BN and {pspnet[0]} is PSPNet's; give the options of one")
        self.segnet = bool(segnet)
        if len(shape) < 2:
            raise self.shape_error(f"the bottom must have channels (axis 1), but is {shape}")
        if len(self.param.top) > 1 and (not self.segnet or p.bn_mode == INFERENCE):
            raise self.error("only SegNet's BN in bn_mode LEARN has tops for the batch's mean and variance")
        blob = (1, shape[1], 1, 1)
        self.add_blob("slope", blob, p.scale_filler if self.segnet else p.slope_filler)
        self.add_blob("bias", blob, p.shift_filler if self.segnet else p.bias_filler)
        if self.segnet:
            return
        one = caffe_pb2.FillerParameter(type="constant", value=float(p.frozen))
        self.add_blob("mean", blob, learned=False)
        self.add_blob("variance", blob, one, learned=False)
        hold_still(self, self.blob_names if p.frozen else ("mean", "variance"))

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape, channels = bottom_shapes[0], self.slope.numel()
        if len(shape) < 2 or shape[1] != channels:
            raise self.shape_error(f"made for {channels} channels, but the bottom is {shape}")
        return [shape, *[(1, channels, 1, 1)] * (len(self.param.top) - 1)]

    @property
    def uses_batch(self) -> bool:
        """Whether the batch's own mean and variance normalise."""
        p = self.param.bn_param
        return p.bn_mode != INFERENCE if self.segnet else self.phase != TEST and not p.frozen

    def forward(self, bottom: Tensor) -> Tensor | tuple[Tensor, ...]:
        p = self.param.bn_param
        slope, bias = self.slope.flatten(), self.bias.flatten()
        if not self.uses_batch:
            if self.segnet:
                return bottom * along(slope, bottom) + along(bias, bottom)
            if p.frozen:
                slope, bias = slope.detach(), bias.detach()
            mean, variance = self.mean.flatten().clone(), self.variance.flatten().clone()  # backward needs these values
            return F.batch_norm(bottom, mean, variance, slope, bias, eps=p.eps)
        eps = SEGNET_EPS if self.segnet else p.eps
        if self.total is not None:
            top, mean, variance, _ = by_all_batches(bottom, slope, bias, eps, self.total)
        else:
            top, mean, variance = by_batch(bottom, slope, bias, eps)
        if self.segnet:
            shown = (mean.reshape(self.slope.shape), variance.reshape(self.slope.shape))
            return (top, *shown[: len(self.param.top) - 1]) if len(self.param.top) > 1 else top
        if bottom.numel():
            with torch.no_grad():
                self.mean.mul_(p.momentum).add_(mean.reshape(self.mean.shape), alpha=1 - p.momentum)
                self.variance.mul_(p.momentum).add_(variance.reshape(self.mean.shape), alpha=1 - p.momentum)
        return top

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        x, rank = bottoms[0], len(graph.shape(bottoms[0]))
        slope, bias = graph.blob(self, "slope"), graph.blob(self, "bias")
        if rank != 4:
            shape = graph.const(np.array([-1, *[1] * (rank - 2)], np.int64), "shape")
            slope, bias = graph.node("Reshape", [slope, shape]), graph.node("Reshape", [bias, shape])
        if not self.uses_batch and self.segnet:
            graph.node("Add", [graph.node("Mul", [x, slope]), bias], tops)
            return
        if not self.uses_batch:
            flat = graph.const(np.array([-1], np.int64), "flat")
            names = [graph.node("Reshape", [graph.blob(self, name), flat]) for name in self.blob_names]
            graph.node("BatchNormalization", [x, *names], tops, epsilon=self.param.bn_param.eps)
            return
        axes = [i for i in range(rank) if i != 1]
        mean = graph.node("ReduceMean", [x], axes=axes, keepdims=1)
        centred = graph.node("Sub", [x, mean])
        variance = graph.node("ReduceMean", [graph.node("Mul", [centred, centred])], axes=axes, keepdims=1)
        eps = graph.const(np.array(SEGNET_EPS, np.float32), "eps")
        unit = graph.node("Div", [centred, graph.node("Sqrt", [graph.node("Add", [variance, eps])])])
        graph.node("Add", [graph.node("Mul", [unit, slope]), bias], tops[:1])
        for name, top in zip((mean, variance), tops[1:], strict=False):
            graph.node("Reshape", [name, graph.const(np.array([1, -1, 1, 1], np.int64), "full")], [top])


def along(values: Tensor, x: Tensor) -> Tensor:
    """One value a channel, laid over `x`."""
    return values.reshape(-1, *[1] * (x.dim() - 2))


def by_batch(x: Tensor, slope: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`x` normalised by its own statistics, and these: mean and variance (divided by m), one a channel, no gradient."""
    mean, variance = (x.new_zeros(x.shape[1]) for _ in range(2))
    count: Any = x.numel() // max(1, x.shape[1])
    if count == 0:
        return x, mean, variance
    if count == 1:  # which torch refuses
        return x * 0 * along(slope, x) + along(bias, x), x.detach().flatten(), variance
    # With momentum 1 torch leaves exactly the batch's mean and its variance times m / (m - 1) here.
    top = F.batch_norm(x, mean, variance, slope, bias, training=True, momentum=1.0, eps=eps)
    return top, mean, variance * ((count - 1) / count)
