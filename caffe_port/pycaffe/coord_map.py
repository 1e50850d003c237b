"""`caffe.coord_map`: where a position of one blob of a NetSpec lies in another, and the Crop that aligns the two.

A map is (axis, scale, shift): position i of the one blob, on each axis after `axis`, lies at `scale * i + shift` of the
other; scale and shift are arrays where the axes differ. Axis None: of any axes. Kernels count by their middle.

Source of the names and rules: python/caffe/coord_map.py of BVLC Caffe 1.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_port.pycaffe.net_spec import Function, Top
from caffe_port.pycaffe.net_spec import layers as L

Map = tuple[int | None, Any, Any]
SAME: Map = (None, 1, 0)
PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power", "ReLU",
    "PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip
BY_SIDE = ("pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w")


class UndefinedMapException(Exception):
    """A layer whose tops have no fixed place in its bottoms."""


class AxisMismatchException(Exception):
    """Two maps that begin at different axes cannot follow each other."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Axis, stride, extent of the kernel (with its dilation) and pad of a layer with a kernel."""
    given = fn.params.get("convolution_param", fn.params)
    by_side = [name for name in BY_SIDE if name in given]
    assert not by_side, f"{fn.type_name}: {', '.join(by_side)} cannot be cropped to; give kernel_size, stride, pad"
    stride, kernel, dilation, pad = (
        np.array(given.get(name, default), ndmin=1)
        for name, default in (("stride", 1), ("kernel_size", None), ("dilation", 1), ("pad", 0))
    )
    if kernel[0] is None:
        raise UndefinedMapException(f"{fn.type_name}: there is no kernel_size")
    return given.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """Axis and offset of a Crop."""
    given = fn.params.get("crop_param", fn.params)
    return given.get("axis", 2), np.array(given.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """From a layer's bottoms to its tops. UndefinedMapException: such a layer has none."""
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return SAME
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset  # a map's axis is the one before the first that moves
    raise UndefinedMapException(f"{fn.type_name} has no fixed map from its bottoms to its tops")


def compose(base_map: Map, next_map: Map) -> Map:
    """`next_map`, then `base_map`."""
    (axis, scale, shift), (next_axis, next_scale, next_shift) = base_map, next_map
    if axis is not None and next_axis is not None and axis != next_axis:
        raise AxisMismatchException(f"axis {axis} and axis {next_axis}")
    return next_axis if axis is None else axis, scale * next_scale, scale * next_shift + shift


def inverse(coord_map: Map) -> Map:
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map between two tops by way of the nearest blob that both come from. RuntimeError: there is none."""
    known = dict(_walk(top_from))
    for top, found in _walk(top_to):
        if top in known:
            return compose(found, inverse(known[top]))
    raise RuntimeError(
        f"no map between a top of {top_from.fn.type_name} and one of {top_to.fn.type_name}: are they connected by "
        "spatial layers?"
    )


def _walk(top: Top) -> Any:
    """The tops that `top` comes from, itself first, each with the map from it to `top`."""
    maps = {top: SAME}
    frontier = [top]
    while frontier:
        top = frontier.pop(0)
        yield top, maps[top]
        # A Crop's second bottom gives a size and no place.
        bottoms = top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs
        try:
            step = compose(maps[top], coord_map(top.fn)) if bottoms else SAME
        except UndefinedMapException:
            continue
        for bottom in bottoms:
            if bottom not in maps:
                maps[bottom] = step
                frontier.append(bottom)


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop of `top_from` to where `top_to` is. AssertionError: their scales differ, or the offset is no whole number
    from 0."""
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    assert axis is not None, "crop needs a spatial layer between the two tops"
    assert np.all(scale == 1), f"scale mismatch on crop (a = {scale})"
    assert np.all(shift <= 0), f"cannot crop negative offset (b = {shift})"
    assert np.all(np.round(shift) == shift), f"cannot crop noninteger offset (b = {shift})"
    offset = [int(n) for n in np.atleast_1d(-np.round(shift))]
    return L.Crop(top_from, top_to, crop_param={"axis": axis + 1, "offset": offset})
