"""BatchNorm: every channel to mean 0 and variance 1, by the batch's statistics or by the stored ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import TEST, Layer, Shape, register
from caffe_port.layers.statistics import Slot
from caffe_port.proto import caffe_pb2

STATISTICS = ("mean", "variance", "scale_factor")
NVIDIA = ("scale_bias", "scale_filler", "bias_filler")
NVIDIA_EPS = 1e-5


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

    NVIDIA's form, with `scale_bias`, scale_filler or bias_filler, has a slope and a bias inside: y * scale + bias. Two
    more blobs: scale (C), 1, and bias (C), 0, unless their fillers say otherwise; they learn, at the rates that their
    param entries give (NVIDIA overwrites these with 1). Its mean and variance are averages: the batch's in the first
    two passes, then f * stored + (1 - f) * batch's, the variance divided by m; scale_factor stays 1; eps is at least
    1e-5.

    Where several processes train together each has its own batch, and its own mean and variance, as in Caffe; with
    `total` set, the sum over the processes, these are of all their batches.

    `add_eps_before_sqrt: false`, of Synopsys' Caffe: the divisor is sqrt(variance) + eps. With stored statistics only;
    the batch's raise.

    A bottom of one axis is one channel, where Caffe aborts. An empty batch changes no statistics.
    Source: src/caffe/layers/batch_norm_layer.cpp of BVLC Caffe, and the CPU code of the same file of NVCaffe. torch
    keeps averages instead of sums with a count, and its momentum is 1 - f.
    """

    blob_names: tuple[str, ...] = ("mean", "variance", "scale_factor", "scale", "bias")
    fork_fields: ClassVar[tuple[str, ...]] = tuple(
        f"batch_norm_param.{name}" for name in (*NVIDIA, "add_eps_before_sqrt")
    )
    frozen_blobs: bool = True
    top_is_free = True
    total: Callable[[Tensor], Tensor] | None = None
    slot: Slot | None = None
    """Where the net keeps this pass's statistics; None where the layer is on its own. See statistics.py."""
    memory: ClassVar[tuple[str, ...]] = ("passes",)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p, shape = self.param.batch_norm_param, bottom_shapes[0]
        self.use_global_stats: bool = p.use_global_stats if p.HasField("use_global_stats") else self.phase == TEST
        if not shape:
            raise self.shape_error("the bottom has no axis")
        channels = 1 if len(shape) == 1 else shape[1]
        self.scale_bias: bool = p.scale_bias or p.HasField("scale_filler") or p.HasField("bias_filler")
        self.passes = 0
        self.eps: float = max(p.eps, NVIDIA_EPS) if self.scale_bias else p.eps
        self.eps_behind = 0.0
        if not p.add_eps_before_sqrt:
            if self.scale_bias or not self.use_global_stats:
                raise self.unsupported("add_eps_before_sqrt: false is for stored statistics (use_global_stats)")
            self.eps, self.eps_behind = 0.0, p.eps
        one = caffe_pb2.FillerParameter(type="constant", value=1)
        for name, size in (("mean", channels), ("variance", channels), ("scale_factor", 1)):
            filler = one if self.scale_bias and name == "scale_factor" else None
            self.add_blob(name, (size,), filler, learned=False)
        if self.scale_bias:
            self.add_blob("scale", (channels,), p.scale_filler if p.HasField("scale_filler") else one)
            self.add_blob("bias", (channels,), p.bias_filler)
            hold_still(self, STATISTICS)
            self.frozen_blobs = False

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) > 1 and shape[1] != self.mean.shape[0]:
            raise self.shape_error(f"made for {self.mean.shape[0]} channels, but the bottom is {shape}")
        return [shape]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """The stored mean and variance, freed of their count; the variance whose root with `eps` is the divisor."""
        slot = self.slot  # asked for once: a pass in another thread may end meanwhile
        if slot is not None and slot.stored:
            mean, variance = slot.mean, slot.variance
        else:
            factor = self.scale_factor.reciprocal().nan_to_num(posinf=0.0, neginf=0.0)
            mean, variance = self.mean * factor, self.variance * factor
        return mean, (variance.sqrt() + self.eps_behind).square() if self.eps_behind else variance

    def forward(self, bottom: Tensor) -> Tensor:
        return self.normalise(bottom, None, None)

    def normalise(self, bottom: Tensor, slope: Tensor | None, bias: Tensor | None) -> Tensor:
        """Forward, and in the same pass the slope and bias of a Scale that follows (C each, or None)."""
        if self.scale_bias:
            own = self.bias if slope is None else self.bias * slope
            slope, bias = self.scale if slope is None else self.scale * slope, own if bias is None else own + bias
        return self.by_statistics(bottom, slope, bias)

    def by_statistics(self, bottom: Tensor, slope: Tensor | None, bias: Tensor | None) -> Tensor:
        if bottom.dim() == 1:
            return self.by_statistics(bottom.unsqueeze(1), slope, bias).squeeze(1)
        eps = self.eps
        if self.use_global_stats:
            return F.batch_norm(bottom, *self.statistics(), slope, bias, eps=eps)
        if self.total is not None:
            top, mean, variance, count = by_all_batches(bottom, slope, bias, eps, self.total)
            self.update(mean, variance if self.scale_bias else variance * (count / (count - 1).clamp(min=1)))
            return top
        if bottom.numel() == 0:
            return bottom
        if bottom.numel() == bottom.shape[1]:  # m = 1, which torch refuses
            self.update(bottom.detach().flatten(), torch.zeros_like(self.variance))
            top = bottom * 0 if slope is None else bottom * 0 * slope.reshape(1, -1, *[1] * (bottom.dim() - 2))
            return top if bias is None else top + bias.reshape(1, -1, *[1] * (bottom.dim() - 2))
        slot = self.slot
        if slot is None or slot.stored:
            slot = Slot(bottom.new_zeros(bottom.shape[1]), bottom.new_zeros(bottom.shape[1]))
        mean, variance = slot.mean, slot.variance
        # With momentum 1 torch leaves exactly the batch's mean and its variance times m / (m - 1) here.
        top = F.batch_norm(bottom, mean, variance, slope, bias, training=True, momentum=1.0, eps=eps)
        slot.filled = True
        if slot is self.slot:
            return top
        m = bottom.numel() // bottom.shape[1]
        self.update(mean, variance * ((m - 1) / m) if self.scale_bias else variance)
        return top

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor) -> None:
        fraction = self.param.batch_norm_param.moving_average_fraction
        if self.scale_bias:
            share = 1 if self.passes < 2 else 1 - fraction
            self.passes += 1
            self.mean.lerp_(mean, share)
            self.variance.lerp_(variance, share)
            return
        self.scale_factor.mul_(fraction).add_(1)
        self.mean.mul_(fraction).add_(mean)
        self.variance.mul_(fraction).add_(variance)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        x, eps, shape = bottoms[0], self.eps, graph.shape(bottoms[0])
        if self.scale_bias:
            unit = graph.fresh("unit")
            self.onnx_normalise(graph, x, eps, shape, [unit])
            sizes = graph.const(np.array([-1, *[1] * (len(shape) - 2)], np.int64), "sizes")
            scale, bias = (graph.node("Reshape", [graph.blob(self, name), sizes]) for name in ("scale", "bias"))
            graph.node("Add", [graph.node("Mul", [unit, scale]), bias], tops)
        else:
            self.onnx_normalise(graph, x, eps, shape, tops)

    def onnx_normalise(self, graph: Any, x: str, eps: float, shape: Shape, tops: list[str]) -> None:
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


def by_all_batches(
    x: Tensor, slope: Tensor | None, bias: Tensor | None, eps: float, total: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`x` normalised by the statistics of all processes' batches, and these: mean, variance (divided by m), m.

    `total`: the differentiable sum over the processes. The variance is of the centred values: two sums, one after the
    other, since a difference of squares loses digits.
    """
    axes = [i for i in range(x.dim()) if i != 1]
    along = [1, -1, *[1] * (x.dim() - 2)]
    own = x.new_full((1,), x.numel() / x.shape[1])
    sums = total(torch.cat([x.sum(axes), own]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = x - mean.reshape(along)
    variance = total(centred.square().sum(axes)) / count
    factor = (variance + eps).rsqrt()
    top = centred * (factor if slope is None else factor * slope).reshape(along)
    return top if bias is None else top + bias.reshape(along), mean.detach(), variance.detach(), count


def hold_still(layer: Layer, names: Sequence[str]) -> None:
    """Write lr_mult 0 for these blobs into the layer's own copy of its definition, as Caffe's layers do."""
    specs = layer.param.param
    while len(specs) < len(layer.present_blobs):
        specs.add()
    for i, name in enumerate(layer.present_blobs):
        if name in names:
            specs[i].lr_mult = specs[i].decay_mult = 0
