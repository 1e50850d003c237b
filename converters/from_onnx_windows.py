"""ONNX operators over windows, as stock layers: convolutions and pooling, with the pads that Caffe does not have."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from caffe_port.layers.pool_window import LOWEST
from caffe_port.proto import caffe_pb2
from converters import stock_moves as moves
from converters.from_onnx_op import Op, Places
from converters.stock import Inexact, Stock


def _spatial(op: Op, sizes: Sequence[int], kernel: Sequence[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, dilations, and the pads before and after each spatial axis."""
    n = len(kernel)
    strides, dilations = list(op.get("strides", [1] * n)), list(op.get("dilations", [1] * n))
    pads, auto = list(op.get("pads", [0] * 2 * n)), op.text("auto_pad", "NOTSET")
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        return strides, dilations, pads[:n], pads[n:]
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    totals = [max((-(-size // s) - 1) * s + e - size, 0) for size, s, e in zip(sizes, strides, extents, strict=True)]
    before = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in totals]
    return strides, dilations, before, [t - b for t, b in zip(totals, before, strict=True)]


def conv(op: Op, stock: Stock) -> list[str]:
    weight, bias, x = op.array(1), op.array(2), op.blob()
    op.get("kernel_shape")
    kernel = list(weight.shape[2:])
    stride, dilation, before, after = _spatial(op, stock.shapes[x][2:], kernel)
    options = {"num_output": weight.shape[0], "kernel_size": kernel, "stride": stride, "dilation": dilation}
    options |= {"group": op.get("group", 1), "bias_term": bias is not None}
    blobs = [weight] if bias is None else [weight, bias]
    try:
        return [stock.spatial(x, op.name, "Convolution", options, before, after, blobs)]
    except Inexact:  # the pads cannot be made even
        padded = moves.pad(stock, x, f"{op.name}_padded", [0, 0, *before], [0, 0, *after])
        return [stock.add("Convolution", [padded], op.name, blobs, convolution_param=options)]


def conv_transpose(op: Op, stock: Stock) -> list[str]:
    """Pads cut off the result. Where they differ, it is made whole and trimmed; beyond it there is only the bias."""
    weight, bias, group, x = op.array(1), op.array(2), op.get("group", 1), op.blob()
    op.get("kernel_shape")
    kernel = list(weight.shape[2:])
    stride, dilation, before, after = _spatial(op, stock.shapes[x][2:], kernel)
    if op.text("auto_pad", "NOTSET").startswith("SAME") or op.get("output_shape"):
        raise Inexact("the size of its result instead of pads")
    after = [a - more for a, more in zip(after, op.get("output_padding", [0] * len(kernel)), strict=True)]
    options = {"num_output": weight.shape[1] * group, "kernel_size": kernel, "stride": stride, "dilation": dilation}
    options |= {"group": group, "bias_term": bias is not None}
    blobs = [weight] if bias is None else [weight, bias]
    if before == after:
        return [stock.add("Deconvolution", [x], op.name, blobs, convolution_param={**options, "pad": before})]
    options["bias_term"] = False
    whole = stock.add("Deconvolution", [x], f"{op.name}_whole", [weight], convolution_param=options)
    top = moves.pad(stock, whole, op.name, [0, 0, *(-b for b in before)], [0, 0, *(-a for a in after)])
    return [top if bias is None else stock.add("Bias", [top], f"{op.name}_bias", [bias], bias_param={"axis": 1})]


def pool(op: Op, stock: Stock) -> list[str]:
    """Over two axes: those along which nothing is pooled go into the channels or each other; one gets a second."""
    kernel, x = list(op.must("kernel_shape")), op.blob()
    shape = stock.shapes[x]
    stride, dilation, before, after = _spatial(op, shape[2:], kernel)
    up, inside = op.get("ceil_mode", 0), bool(op.get("count_include_pad", 0))
    if any(d != 1 for d in dilation):
        raise Inexact("Pooling has no dilation")
    if op.outputs > 1 and (op.get("storage_order", 0) or len(kernel) != 2):
        raise Inexact("places that are counted otherwise than row by row of a plane")
    wanted = []
    for size, k, s, b, a in zip(shape[2:], kernel, stride, before, after, strict=True):
        n = -(-(size + b + a - k) // s) + 1 if up else (size + b + a - k) // s + 1
        wanted.append(n - 1 if up and (n - 1) * s >= size + b else n)
    axes = list(zip(shape[2:], kernel, stride, before, after, wanted, strict=True))
    channels = shape[1]
    while len(axes) > 2 and axes[0][1:5] == (1, 1, 0, 0):
        channels *= axes.pop(0)[0]
    while len(axes) > 2 and axes[-1][1:5] == axes[-2][1:5] == (1, 1, 0, 0):
        merged = axes.pop()[0] * axes[-1][0]
        axes[-1] = (merged, 1, 1, 0, 0, merged)
    if len(axes) == 1:
        axes.insert(0, (1, 1, 1, 0, 0, 1))
    if len(axes) != 2:
        raise Inexact("windows over three axes: Pooling has two")
    geometry = [list(column) for column in zip(*axes, strict=True)]
    plane = stock.reshape(x, f"{op.name}_plane", (shape[0], channels, *geometry[0]))
    tops = _pooled(op, stock, plane, geometry, inside)
    return tops if plane == x else [stock.reshape(tops[0], f"{op.name}_axes", (*shape[:2], *wanted))]


def _pooled(op: Op, stock: Stock, x: str, geometry: Sequence[Sequence[int]], inside: bool) -> list[str]:
    sizes, kernel, stride, before, _, wanted = geometry
    kind = "MAX" if op.type == "MaxPool" else "AVE"
    try:
        tops = stock.pool(x, op.name, kind, kernel, stride, before, wanted, op.outputs)
        if op.outputs > 1:
            return [tops[0], Places(tops[1])]
        return tops if kind == "MAX" else [_recounted(stock, tops[0], op.name, geometry, inside)]
    except Inexact:  # other windows than Caffe's: of an image that is padded beforehand
        if op.outputs > 1:
            raise
        axes = zip(wanted, stride, kernel, before, sizes, strict=True)
        behind = [max((n - 1) * s + k - b - size, 0) for n, s, k, b, size in axes]
        value = LOWEST if kind == "MAX" else 0
        padded = moves.pad(stock, x, f"{op.name}_padded", [0, 0, *before], [0, 0, *behind], value)
        (top,) = stock.pool(padded, op.name, kind, kernel, stride, [0, 0], wanted)
        if kind == "MAX":
            return [top]
        return [_recounted(stock, top, op.name, geometry, inside, np.full(wanted, prod(kernel)))]


def _recounted(
    stock: Stock, top: str, name: str, geometry: Sequence[Sequence[int]], padded: bool, counts: np.ndarray | None = None
) -> str:
    """Caffe's means, times the ratio of its count of a window to ONNX's, place by place.

    Caffe counts the padding, equal at both ends, and nothing past it (or `counts`); ONNX its own pads, or (not
    `padded`) none.
    """
    theirs, ours = [], []
    for size, k, s, before, after, n in zip(*geometry, strict=True):
        start = np.arange(n) * s - before
        ours.append(np.minimum(start + k, size + before) - start)
        first, past = (start, size + after) if padded else (np.maximum(start, 0), size)
        theirs.append(np.minimum(start + k, past) - first)
    ratio = (np.outer(*ours) if counts is None else counts) / np.outer(*theirs)
    if (ratio == 1).all():
        return top
    return stock.add("Scale", [top], f"{name}_counts", [ratio], scale_param={"axis": 2, "num_axes": 2})


def global_pool(op: Op, stock: Stock) -> list[str]:
    x, kind = op.blob(), "MAX" if "Max" in op.type else "AVE"
    shape = stock.shapes[x]
    if len(shape) < 3:
        raise Inexact("no plane to pool over")
    plane = stock.reshape(x, f"{op.name}_plane", (*shape[:2], shape[2], prod(shape[3:])))
    options = {"pool": getattr(caffe_pb2.PoolingParameter, kind), "global_pooling": True}
    top = stock.add("Pooling", [plane], op.name, pooling_param=options)
    return [stock.reshape(top, f"{op.name}_axes", (*shape[:2], *[1] * (len(shape) - 2)))]
