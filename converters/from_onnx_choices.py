"""ONNX operators that compare and choose, as stock layers: comparisons, the largest values, Where, Compress.

Comparisons give 0 and 1 by Threshold, of a difference where both sides are computed; so an infinity is not equal to
itself there. Floats just below a bound make "at least" of "above".
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from converters import stock_moves as moves
from converters.from_onnx_moves import truth
from converters.from_onnx_op import Op, Some, Truth, Whole
from converters.stock import Inexact, Stock

TINY = float(np.nextafter(np.float32(0), np.float32(1)))


def blob_or_constant(op: Op, stock: Stock, i: int) -> str:
    given = op.given(i)
    return stock.constant(given, f"{op.name}_constant") if isinstance(given, np.ndarray) else op.blob(i)


def above(stock: Stock, x: str, name: str, bound: float) -> str:
    return Whole(stock.add("Threshold", [x], name, threshold_param={"threshold": bound}))


def compare(or_equal: bool, less: bool = False) -> Callable[[Op, Stock], list[str]]:
    """a > b, or with `less` b > a; with `or_equal` at least."""

    def write(op: Op, stock: Stock) -> list[str]:
        a, b = (1, 0) if less else (0, 1)
        bound, other = op.given(b), op.given(a)
        if isinstance(bound, np.ndarray) and bound.size == 1:
            return [above(stock, op.blob(a), op.name, _below(bound, or_equal))]
        if isinstance(other, np.ndarray) and other.size == 1:  # c > x, or -x > -c
            negative = stock.power(op.blob(b), f"{op.name}_minus", scale=-1)
            return [above(stock, negative, op.name, _below(-other.astype(np.float64), or_equal))]
        apart = stock.difference(blob_or_constant(op, stock, a), blob_or_constant(op, stock, b), f"{op.name}_apart")
        return [above(stock, apart, op.name, -TINY if or_equal else 0)]

    return write


def _below(bound: Any, or_equal: bool) -> float:
    value = np.float32(np.ravel(bound)[0])
    return float(np.nextafter(value, np.float32(-np.inf))) if or_equal else float(value)


def equal(op: Op, stock: Stock) -> list[str]:
    apart = stock.difference(blob_or_constant(op, stock, 0), blob_or_constant(op, stock, 1), f"{op.name}_apart")
    distance = stock.power(stock.add("AbsVal", [apart], f"{op.name}_distance"), f"{op.name}_minus", scale=-1)
    return [above(stock, distance, op.name, -TINY)]


def is_nan(op: Op, stock: Stock) -> list[str]:
    """Neither above -1 nor below 0."""
    minus = stock.power(op.blob(), f"{op.name}_minus", scale=-1)
    high, low = above(stock, op.blob(), f"{op.name}_above", -1), above(stock, minus, f"{op.name}_below", 0)
    return [Whole(opposite(stock, [stock.largest(high, low, f"{op.name}_number")], op.name))]


def logic(write: Callable[[Stock, list[str], str], str]) -> Callable[[Op, Stock], list[str]]:
    return lambda op, stock: [Whole(write(stock, [truth(op, stock, i) for i in range(len(op.inputs))], op.name))]


def opposite(stock: Stock, x: list[str], name: str) -> str:
    return stock.power(x[0], name, scale=-1, shift=1)


def exclusive(stock: Stock, x: list[str], name: str) -> str:
    return stock.add("AbsVal", [stock.difference(x[0], x[1], f"{name}_apart")], name)


def where(op: Op, stock: Stock) -> list[str]:
    if isinstance(op.given(0), np.ndarray):
        raise Inexact("a constant condition")
    blobs = [truth(op, stock), *(blob_or_constant(op, stock, i) for i in (1, 2))]
    try:
        shape = np.broadcast_shapes(*(stock.shapes[b] for b in blobs))
    except ValueError:
        raise Inexact(f"shapes {[stock.shapes[b] for b in blobs]} do not broadcast") from None
    condition, yes, no = (stock.spread(b, f"{op.name}_whole", shape) for b in blobs)
    return [moves.choose(stock, condition, yes, no, op.name)]


def compress(op: Op, stock: Stock) -> list[str]:
    """Of a computed condition along the batch: Filter."""
    axis = op.get("axis")
    if isinstance(op.given(1), np.ndarray):
        if axis is None:
            raise Inexact("of all values, in one line")
        x = op.blob()
        axis %= len(stock.shapes[x])
        return [moves.take(stock, x, op.name, axis, np.flatnonzero(op.array(1)))]
    if axis != 0:
        raise Inexact(f"along axis {axis}: Filter chooses samples")
    return [Some(stock.add("Filter", [op.blob(), op.blob(1, Truth)], op.name))]


def arg_max(sign: int) -> Callable[[Op, Stock], list[str]]:
    """Of equal values Caffe's ArgMax takes the last, so the axis is searched from its end where the first is wanted."""

    def write(op: Op, stock: Stock) -> list[str]:
        x = op.blob()
        shape = stock.shapes[x]
        axis = op.get("axis", 0) % len(shape)
        first = not op.get("select_last_index", 0)
        x = x if sign > 0 else stock.power(x, f"{op.name}_minus", scale=-1)
        if first:
            x = moves.take(stock, x, f"{op.name}_backwards", axis, moves.places(shape[axis])[::-1])
        top = stock.add("ArgMax", [x], op.name, argmax_param={"axis": axis})
        if first:
            top = stock.power(top, f"{op.name}_place", scale=-1, shift=shape[axis] - 1)
        rest = [d for i, d in enumerate(shape) if i != axis]
        return [Whole(top if op.get("keepdims", 1) else stock.reshape(top, f"{op.name}_axes", rest))]

    return write


def top_k(op: Op, stock: Stock) -> list[str]:
    """Caffe's ArgMax of the axis backwards: of equal values ONNX takes the first, Caffe the last."""
    x = op.blob()
    shape = stock.shapes[x]
    axis, (count,) = op.get("axis", -1) % len(shape), op.ints(1, "k") or []
    sign = 1 if op.get("largest", 1) else -1
    op.get("sorted")
    if not 1 <= count <= shape[axis]:
        raise Inexact(f"{count} of {shape[axis]} values")
    x = x if sign > 0 else stock.power(x, f"{op.name}_minus", scale=-1)
    x = moves.take(stock, x, f"{op.name}_backwards", axis, moves.places(shape[axis])[::-1])
    options = {"axis": axis, "top_k": count}
    values = stock.add("ArgMax", [x], op.name, argmax_param={**options, "out_max_val": True})
    values = values if sign > 0 else stock.power(values, f"{op.name}_values", scale=-1)
    places = stock.add("ArgMax", [x], f"{op.name}_places", argmax_param=options)
    return [values, Whole(stock.power(places, f"{op.name}_indices", scale=-1, shift=shape[axis] - 1))]


def extreme(sign: int) -> Callable[[Op, Stock], list[str]]:
    """ReduceMax and ReduceMin by ArgMax's values."""

    def write(op: Op, stock: Stock) -> list[str]:
        x = op.blob()
        shape = stock.shapes[x]
        axes = sorted(op.axes(len(shape)))
        if not axes and op.get("noop_with_empty_axes", 0):
            return [x]
        axes, keep = axes or list(range(len(shape))), op.get("keepdims", 1)
        x = x if sign > 0 else stock.power(x, f"{op.name}_minus", scale=-1)
        rest = [i for i in range(len(shape)) if i not in axes]
        kept = [shape[i] for i in rest]
        if len(axes) > 1:
            x = moves.permute(stock, x, f"{op.name}_last", [*rest, *axes])
            x = stock.reshape(x, f"{op.name}_line", [*kept, prod(shape[i] for i in axes)])
            axes = [len(kept)]
        top = stock.add("ArgMax", [x], op.name, argmax_param={"axis": axes[0], "out_max_val": True})
        top = top if sign > 0 else stock.power(top, f"{op.name}_least", scale=-1)
        full = [d if i in rest else 1 for i, d in enumerate(shape)]
        return [stock.reshape(top, f"{op.name}_axes", full if keep else kept)]

    return write
