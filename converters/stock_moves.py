"""Stock layers that move values about without changing them: transpositions, selections, padding.

Im2col copies windows, and windows are more than convolution needs them for: of one axis as wide as the window, it swaps
two blocks of axes; with a stride it takes every second place; with a pad it surrounds a plane by zeros. What follows no
rule is cut by Slice and joined by Concat, or picked by BatchReindex from rows. So NaN and infinities stay what they
are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from caffe_port.layers.base import Shape
from converters.stock import Inexact, Stock

PIECES = 32
"""Most pieces that an axis is cut into; beyond, rows are picked by BatchReindex, which writes the batch size down."""
INDICES = 2**24
"""Most rows that an index in floats can tell apart."""


def places(size: int) -> np.ndarray:
    """All places of an axis."""
    if size > INDICES:
        raise Inexact(f"an axis of {size}, whose places floats do not count: they do to 2**24")
    return np.arange(size)


def permute(stock: Stock, x: str, name: str, order: Sequence[int]) -> str:
    """ONNX's Transpose: axis i of the result is axis order[i] of x."""
    shape = stock.shapes[x]
    now = list(range(len(shape)))
    for place, axis in enumerate(order):
        start = now.index(axis)
        past = start + 1
        while past < len(now) and place + past - start < len(order) and now[past] == order[place + past - start]:
            past += 1
        if start == place:
            continue
        sizes = [shape[a] for a in now]
        x = _swap(stock, x, name, sizes, place, start, past)
        now[place:past] = now[start:past] + now[place:start]
    return stock.reshape(x, name, [shape[a] for a in order])


def _swap(stock: Stock, x: str, name: str, sizes: Sequence[int], first: int, middle: int, past: int) -> str:
    """The axes first..middle and middle..past of x, seen as `sizes`, change places; the shape is left to the caller."""
    ahead, behind, after = prod(sizes[first:middle]), prod(sizes[middle:past]), prod(sizes[past:])
    if ahead == 1 or behind == 1:
        return x
    lead = (sizes[0], prod(sizes[1:first])) if first else (1, 1)
    x = stock.reshape(x, f"{name}_blocks", (*lead, ahead, behind * after))
    return _im2col(stock, x, f"{name}_swap", kernel=(1, behind), dilation=(1, after))


def _im2col(
    stock: Stock, x: str, name: str, kernel: Sequence[int] = (1, 1), stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1), pad: Sequence[int] = (0, 0),
) -> str:  # fmt: skip
    options = {"kernel_h": kernel[0], "kernel_w": kernel[1], "dilation": list(dilation)}
    if tuple(stride) != (1, 1):
        options |= {"stride_h": stride[0], "stride_w": stride[1]}
    if any(pad):
        options |= {"pad_h": pad[0], "pad_w": pad[1]}
    if tuple(dilation) == (1, 1):
        del options["dilation"]
    return stock.add("Im2col", [x], name, convolution_param=options)


def windows(stock: Stock, x: str, name: str, axis: int, index: np.ndarray) -> str:
    """x[..., index, ...] of `index[k, n] = start + k * dilation + n * stride`: a pair of axes in the place of one."""
    shape = stock.shapes[x]
    kernel, count = index.shape
    start = int(index[0, 0])
    dilation = int(index[1, 0]) - start if kernel > 1 else 1
    stride = int(index[0, 1]) - start if count > 1 else 1
    x = stock.trim(x, f"{name}_part", axis, start, int(index[-1, -1]) + 1 - start)
    lead = (shape[0], prod(shape[1:axis])) if axis else (1, 1)
    x = stock.reshape(x, f"{name}_rows", (*lead, stock.shapes[x][axis], prod(shape[axis + 1 :])))
    x = _im2col(stock, x, f"{name}_windows", (kernel, 1), (stride, 1), (dilation, 1))
    return stock.reshape(x, name, (*shape[:axis], kernel, count, *shape[axis + 1 :]))


def take(stock: Stock, x: str, name: str, axis: int, index: np.ndarray) -> str:
    """ONNX's Gather of a constant index of any number of axes."""
    shape = stock.shapes[x]
    index = np.where(index < 0, index + shape[axis], index).astype(np.int64)
    if index.size and not (0 <= index.min() and index.max() < shape[axis]):
        raise Inexact(f"an index outside an axis of {shape[axis]}")
    if index.ndim == 2 and index.size and _regular(index):
        return windows(stock, x, name, axis, index)
    top = _take(stock, x, name, axis, index.ravel())
    return stock.reshape(top, name, (*shape[:axis], *index.shape, *shape[axis + 1 :]))


def _regular(index: np.ndarray) -> bool:
    """Whether a rising index can be written as `windows` wants it."""
    steps = [int(np.diff(index, axis=a).ravel()[0]) if index.shape[a] > 1 else 1 for a in (0, 1)]
    return min(steps) > 0 and np.array_equal(index, index[0, 0] + np.add.outer(*map(_line, index.shape, steps)))


def _line(length: int, step: int) -> np.ndarray:
    return np.arange(length) * step


def _take(stock: Stock, x: str, name: str, axis: int, index: np.ndarray) -> str:
    shape = stock.shapes[x]
    source, inner = stock.taken.get((x, axis), (x, places(shape[axis])))
    x, index = source, inner[index]  # what was taken of something taken before
    size = stock.shapes[x][axis]
    if np.array_equal(index, np.arange(size)):
        return x
    if not len(index):
        raise Inexact("nothing of an axis: no stock layer makes an empty blob")
    times = len(index) // size
    runs = np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)
    if len(runs) == 1:
        top = stock.trim(x, name, axis, int(index[0]), len(index))
    elif np.array_equal(index, np.repeat(np.arange(size), times)):
        top = _repeat(stock, x, name, axis, times)
    elif np.array_equal(index, np.tile(np.arange(size), times)):
        top = stock.add("Tile", [x], name, tile_param={"axis": axis, "tiles": times})
    elif _regular(index[None]):
        top = windows(stock, x, name, axis, index[None])
        top = stock.reshape(top, name, (*shape[:axis], len(index), *shape[axis + 1 :]))
    elif len(runs) > PIECES:
        top = _pick(stock, x, name, axis, index)
    else:
        pieces = [stock.trim(x, f"{name}_piece", axis, int(run[0]), len(run)) for run in runs]
        top = stock.add("Concat", pieces, name, concat_param={"axis": axis})
    stock.taken[top, axis] = (x, index)
    return top


def _repeat(stock: Stock, x: str, name: str, axis: int, times: int) -> str:
    shape = stock.shapes[x]
    single = stock.reshape(x, f"{name}_single", (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    tiled = stock.add("Tile", [single], f"{name}_tiled", tile_param={"axis": axis + 1, "tiles": times})
    return stock.reshape(tiled, name, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))


def _pick(stock: Stock, x: str, name: str, axis: int, index: np.ndarray) -> str:
    shape = stock.shapes[x]
    lead = prod(shape[:axis])
    rows = places(lead * shape[axis]).reshape(lead, shape[axis])[:, index].ravel()
    top = pick_rows(stock, stock.reshape(x, f"{name}_rows", (lead * shape[axis], prod(shape[axis + 1 :]))), name, rows)
    return stock.reshape(top, name, (*shape[:axis], len(index), *shape[axis + 1 :]))


def pick_rows(stock: Stock, x: str, name: str, rows: np.ndarray | str) -> str:
    """x[rows]: BatchReindex, of constant rows or of a blob of them."""
    if stock.shapes[x][0] > INDICES:
        raise Inexact(f"{stock.shapes[x][0]} rows to choose from: floats count to 2**24")
    which = rows if isinstance(rows, str) else stock.constant(rows, f"{name}_index")
    return stock.add("BatchReindex", [x, which], f"{name}_picked")


def choose(stock: Stock, condition: str, a: str, b: str, name: str) -> str:
    """a where `condition` is 1, b where it is 0; of one shape all three. What is not chosen may be NaN."""
    shape = stock.shapes[condition]
    count = prod(shape)
    rows = [stock.reshape(x, f"{name}_{hint}", (count, 1)) for x, hint in ((a, "yes"), (b, "no"))]
    both = stock.add("Concat", rows, f"{name}_both", concat_param={"axis": 0})
    offset = stock.power(stock.reshape(condition, f"{name}_flat", (count,)), f"{name}_side", scale=-count, shift=count)
    index = stock.add("Bias", [offset], f"{name}_row", [places(count)], bias_param={"axis": 0})
    return stock.reshape(pick_rows(stock, both, name, index), name, shape)


def pad(
    stock: Stock, x: str, name: str, before: Sequence[int], after: Sequence[int], value: float = 0,
) -> str:  # fmt: skip
    """`value` put before and after every axis; a negative amount cuts off instead."""
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        cut, size = max(-b, 0), stock.shapes[x][axis]
        x = stock.trim(x, f"{name}_cut", axis, cut, size - cut - max(-a, 0))
    before, after = ([max(n, 0) for n in amounts] for amounts in (before, after))
    shape = stock.shapes[x]
    if value == 0 and len(shape) == 4 and not any((*before[:2], *after[:2])) and any((*before, *after)):
        most = [max(b, a) for b, a in zip(before[2:], after[2:], strict=True)]
        x = _im2col(stock, x, f"{name}_zeros", pad=most)
        for axis, p in zip((2, 3), most, strict=True):
            x = stock.trim(x, f"{name}_trim", axis, p - before[axis], shape[axis] + before[axis] + after[axis])
        return x
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        x = _surround(stock, x, name, axis, b, a, value)
    return x


def _surround(stock: Stock, x: str, name: str, axis: int, before: int, after: int, value: float) -> str:
    if not before and not after:
        return x
    if 0 in stock.shapes[x]:
        raise Inexact("an axis of size 0 is padded")
    one = stock.like(stock.trim(x, f"{name}_edge", axis, 0, 1), f"{name}_value", value)
    pieces = [
        x if n is None else stock.add("Tile", [one], f"{name}_side", tile_param={"axis": axis, "tiles": n})
        for n in (before, None, after)
        if n != 0
    ]
    return stock.add("Concat", pieces, name, concat_param={"axis": axis})


def matrix(stock: Stock, x: str, name: str, axis: int, weight: np.ndarray) -> str:
    """Along an axis of n: weight (m, n) times x. A choice of places moves values; all else is an InnerProduct."""
    if ((weight == 1).sum(1) == 1).all() and np.count_nonzero(weight) == len(weight):
        return take(stock, x, name, axis, weight.argmax(1))
    shape = stock.shapes[x]
    last = len(shape) - 1
    turned = [*range(axis), *range(axis + 1, last + 1), axis]
    x = permute(stock, x, f"{name}_turned", turned)
    options = {"num_output": len(weight), "axis": last, "bias_term": False}
    x = stock.add("InnerProduct", [x], name, [weight], inner_product_param=options)
    return permute(stock, x, f"{name}_back", [*range(axis), last, *range(axis, last)])


def sized(shape: Shape, dims: Sequence[int]) -> Shape:
    """ONNX's Reshape rule: 0 copies a size, -1 is what is left."""
    found = [shape[i] if d == 0 else int(d) for i, d in enumerate(dims)]
    if -1 in found:
        rest = prod(d for d in found if d != -1)
        if not rest:
            raise Inexact(f"to {list(dims)}: what -1 is of nothing")
        found[found.index(-1)] = prod(shape) // rest
    return tuple(found)
