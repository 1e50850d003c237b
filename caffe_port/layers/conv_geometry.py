"""Kernel, stride, pad and dilation of a ConvolutionParameter, by Caffe's rules: for Convolution, Deconvolution, Im2col.

Source: src/caffe/layers/base_conv_layer.cpp:11-107 and im2col_layer.cpp:8-104, which say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape

HOLES = ("hole", "hole_h", "hole_w")
FORK_FIELDS = tuple(f"convolution_param.{name}" for name in (*HOLES, "dilation_h", "dilation_w"))
"""Other names that forks have for the dilation."""
SIDES = ("pad_t", "pad_b", "pad_l", "pad_r")
SIDE_FIELDS = tuple(f"convolution_param.{name}" for name in SIDES)
"""Synopsys' pad of its own for every side."""


@dataclass(frozen=True)
class Geometry:
    """The channel axis, and one number per spatial axis (the axes after it)."""

    axis: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    after: tuple[int, ...]
    """The pad behind the bottom: `pad`, which is then only that before it, in all of Caffe's own nets."""
    extent: tuple[int, ...] = field(init=False)
    """What a kernel covers, its holes included."""

    def __post_init__(self) -> None:
        extent = tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        object.__setattr__(self, "extent", extent)

    def out_sizes(self, sizes: Shape) -> tuple[int, ...]:
        """Convolution: (size + both pads - extent) / stride plus 1, in C++'s division, which rounds towards 0.

        So a kernel that is too large by less than a stride still stands once; `missing` is what it sees beyond the pad.
        """
        axes = zip(sizes, self.extent, self.stride, self.pads, strict=True)
        return tuple(int((n + p - e) / s) + 1 for n, e, s, p in axes)

    def missing(self, sizes: Shape) -> tuple[int, ...]:
        """By how much the kernel is larger than the padded bottom; there it sees zeros, as in Caffe's im2col."""
        return tuple(max(0, e - n - p) for n, e, p in zip(sizes, self.extent, self.pads, strict=True))

    def up_sizes(self, sizes: Shape) -> tuple[int, ...]:
        """Deconvolution: stride * (size - 1) + extent - both pads."""
        axes = zip(sizes, self.extent, self.stride, self.pads, strict=True)
        return tuple(s * (n - 1) + e - p for n, e, s, p in axes)

    @property
    def pads(self) -> tuple[int, ...]:
        """Before and behind together."""
        return tuple(p + a for p, a in zip(self.pad, self.after, strict=True))

    @property
    def common(self) -> tuple[int, ...]:
        """The pad that both ends have: what torch is told."""
        return tuple(min(p, a) for p, a in zip(self.pad, self.after, strict=True))

    def beyond(self, missing: tuple[int, ...]) -> list[int]:
        """What is left of the pads besides `common`, as F.pad takes it: before and behind, the last axis first."""
        axes = zip(self.pad, self.after, self.common, missing, strict=True)
        return [side for p, a, c, m in reversed(list(axes)) for side in (p - c, a - c + m)]

    def onnx(self, missing: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The attributes of ONNX's Conv and ConvTranspose; no spatial axis is one of size 1."""
        if not self.kernel:
            return {"kernel_shape": (1,), "strides": (1,), "pads": (0, 0), "dilations": (1,)}
        after = tuple(a + m for a, m in zip(self.after, missing, strict=True))
        pads = self.pad + after
        return {"kernel_shape": self.kernel, "strides": self.stride, "pads": pads, "dilations": self.dilation}


def geometry(layer: Layer, shape: Shape) -> Geometry:
    """The geometry that `layer`'s convolution_param asks for over a bottom of `shape`; raises as Caffe's checks do."""
    p = layer.param.convolution_param
    axis = layer.axis(p.axis, len(shape))
    spatial = len(shape) - axis - 1
    found = {
        "kernel_size": per_axis(layer, p, "kernel", spatial, None),
        "stride": per_axis(layer, p, "stride", spatial, 1),
        "pad": per_axis(layer, p, "pad", spatial, 0),
        "dilation": per_axis(layer, p, "dilation", spatial, 1),
    }
    for name in ("kernel_size", "stride", "dilation"):
        if min(found[name], default=1) < 1:
            raise layer.error(f"{name} must be positive in every direction, not {found[name]}")
    before, after = sides(layer, spatial) or (found["pad"], found["pad"])
    return Geometry(axis, found["kernel_size"], found["stride"], before, found["dilation"], after)


def sides(layer: Layer, spatial: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The pads before and behind height and width where a side has one of its own; None where none has."""
    p = layer.param.convolution_param
    top, bottom, left, right = (getattr(p, name) for name in SIDES)
    if not (top or bottom or left or right):
        return None
    if spatial != 2:
        raise layer.error(f"{', '.join(SIDES)} are for 2 spatial axes, not {spatial}")
    if p.pad or p.pad_h or p.pad_w:
        raise layer.error(f"give {', '.join(SIDES)}, or pad, not both")
    if min(top, bottom, left, right) < 0:
        raise layer.unsupported(f"{', '.join(SIDES)} must not be negative; use a Crop")
    return (top, left), (bottom, right)


def per_axis(layer: Layer, p: Any, name: str, spatial: int, default: int | None) -> tuple[int, ...]:
    """One value per spatial axis: from name_h and name_w, or given once or once per axis, or the default."""
    repeated = "kernel_size" if name == "kernel" else name
    given = list(getattr(p, repeated))
    if name == "dilation" and any(p.HasField(field) for field in HOLES):
        if given or p.HasField("dilation_h") or p.HasField("dilation_w"):
            raise layer.error("hole is DeepLab's older name of dilation; keep one of the two")
        name = repeated = "hole"
        given = [p.hole] if p.HasField("hole") else []
    if p.HasField(f"{name}_h") or p.HasField(f"{name}_w"):
        if spatial != 2:
            raise layer.error(f"{name}_h and {name}_w are for 2 spatial axes, not {spatial}; use {repeated}")
        if given:
            raise layer.error(f"give {repeated}, or {name}_h and {name}_w, not both")
        return getattr(p, f"{name}_h"), getattr(p, f"{name}_w")
    if not given and default is not None:
        return (default,) * spatial
    if len(given) not in (1, spatial):
        raise layer.error(f"{repeated} is given {len(given)} times; give it once, or {spatial} times, once an axis")
    return tuple(given * spatial if len(given) == 1 else given)


def padded(x: Tensor, around: list[int]) -> Tensor:
    """`x` with zeros around its last axes."""
    return F.pad(x, around) if any(around) else x


def as_batch(x: Tensor, axis: int, spatial: int) -> Tensor:
    """(leading axes..., C, spatial...) as (N, C, spatial...), with at least one spatial axis, as torch wants it."""
    x = x.flatten(0, axis - 1) if axis > 1 else x.unsqueeze(0) if axis == 0 else x
    return x if spatial else x.unsqueeze(-1)


def check_sizes(layer: Layer, shape: Shape, sizes: tuple[int, ...]) -> None:
    if min(sizes, default=1) < 1:
        raise layer.shape_error(f"a bottom of {shape} is too small for this kernel and pad: the top would be {sizes}")
