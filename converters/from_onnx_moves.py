"""ONNX operators that only move values about, as stock layers: shapes, transpositions, selections, pads, resizing."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from converters import stock_moves as moves
from converters.from_onnx_op import Cut, Op, Truth, Whole
from converters.onnx_eval import evaluate_as_run
from converters.optional import need
from converters.stock import Inexact, Stock

MATRIX = 2**26
"""Most numbers of the matrix that resizes an axis: 256 MiB."""


def same(op: Op, stock: Stock) -> list[str]:
    for name in list(op.unread):
        op.get(name)
    return [op.blob()]


def transpose(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    order = op.get("perm", list(reversed(range(len(stock.shapes[x])))))
    return [moves.permute(stock, x, op.name, list(order))]


def gather(op: Op, stock: Stock) -> list[str]:
    """Of constant places; or rows by a computed index: BatchReindex, or Embed where the rows are constant.

    ONNX counts negative places of a computed index from the end; Caffe refuses them.
    """
    axis, index = op.get("axis", 0), op.given(1)
    if isinstance(op.given(0), np.ndarray):
        return [_embed(op, stock, op.array(0), axis)]
    x = op.blob()
    shape = stock.shapes[x]
    axis %= len(shape)
    if isinstance(index, np.ndarray):
        return [moves.take(stock, x, op.name, axis, index)]
    which = op.blob(1, Cut)
    places = stock.shapes[which]
    front = moves.permute(stock, x, f"{op.name}_front", [axis, *range(axis), *range(axis + 1, len(shape))])
    which = stock.reshape(which, f"{op.name}_index", (prod(places),))
    top = moves.pick_rows(stock, front, op.name, which)
    rest = [d for i, d in enumerate(shape) if i != axis]
    top = stock.reshape(top, f"{op.name}_rows", (*places, *rest))
    first, last = len(places), len(places) + len(rest)
    order = [*range(first, first + axis), *range(first), *range(first + axis, last)]
    return [moves.permute(stock, top, op.name, order)]


def _embed(op: Op, stock: Stock, table: np.ndarray, axis: int) -> str:
    index = op.blob(1, Cut)
    if axis % table.ndim:
        raise Inexact("rows of a constant along another axis than the first")
    rows = table.reshape(len(table), -1)
    options = {"input_dim": rows.shape[0], "num_output": rows.shape[1], "bias_term": False}
    top = stock.add("Embed", [index], op.name, [rows], embed_param=options)
    return stock.reshape(top, f"{op.name}_shape", (*stock.shapes[index], *table.shape[1:]))


def slices(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    starts, ends = op.ints(1, "starts") or [], op.ints(2, "ends") or []
    axes, steps = op.ints(3, "axes", range(len(starts))), op.ints(4, default=[1] * len(starts))
    for start, end, axis, step in zip(starts, ends, axes or [], steps or [], strict=True):
        axis %= len(stock.shapes[x])
        x = moves.take(stock, x, op.name, axis, moves.places(stock.shapes[x][axis])[start:end:step])
    return [x]


def concat(op: Op, stock: Stock) -> list[str]:
    blobs = [stock.constant(i, f"{op.name}_constant") if isinstance(i, np.ndarray) else op.blob(n)
             for n, i in enumerate(op.inputs)]  # fmt: skip
    return [stock.add("Concat", blobs, op.name, concat_param={"axis": op.must("axis")})]


def split(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    axis = op.get("axis", 0) % len(stock.shapes[x])
    sizes, length = op.ints(1, "split"), stock.shapes[x][axis]
    if sizes is None:
        step = -(-length // op.get("num_outputs", op.outputs))
        sizes = [min(step, length - start) for start in range(0, length, step)]
    if len(sizes) == 1:
        return [x]
    points = [int(p) for p in np.cumsum(sizes)[:-1]]
    return stock.add_many("Slice", [x], op.name, len(sizes), slice_param={"axis": axis, "slice_point": points})


def flatten(op: Op, stock: Stock) -> list[str]:
    x, axis = op.blob(), op.get("axis", 1)
    shape = stock.shapes[x]
    axis %= len(shape) + 1 if axis == len(shape) else max(len(shape), 1)
    if axis == 1:
        return [stock.add("Flatten", [x], op.name)]
    return [stock.reshape(x, op.name, [prod(shape[:axis]), prod(shape[axis:])])]


def reshape(op: Op, stock: Stock) -> list[str]:
    dims = op.ints(1, "shape") or []
    if op.get("allowzero", 0) and 0 in dims:
        raise Inexact("an axis of size 0")
    x = op.blob()
    return [stock.reshape(x, op.name, moves.sized(stock.shapes[x], dims))]


def squeeze(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    shape = stock.shapes[x]
    gone = op.axes(len(shape), default=[i for i, d in enumerate(shape) if d == 1])
    if any(shape[a] != 1 for a in gone):
        raise Inexact(f"axes {gone} of {shape} are not all 1")
    return [stock.reshape(x, op.name, [d for i, d in enumerate(shape) if i not in gone])]


def unsqueeze(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    given = op.ints(1, "axes") or []
    shape = list(stock.shapes[x])
    for axis in sorted(a % (len(stock.shapes[x]) + len(given)) for a in given):
        shape.insert(axis, 1)
    return [stock.reshape(x, op.name, shape)]


def tile(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    for axis, times in enumerate(op.ints(1) or []):
        if times != 1:
            x = stock.add("Tile", [x], op.name, tile_param={"axis": axis, "tiles": times})
    return [x]


def expand(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    try:
        shape = np.broadcast_shapes(stock.shapes[x], tuple(op.ints(1) or []))
    except ValueError:
        raise Inexact(f"{stock.shapes[x]} does not broadcast to {op.ints(1)}") from None
    return [stock.spread(x, op.name, shape)]


def depth_to_space(op: Op, stock: Stock) -> list[str]:
    x, size, mode = op.blob(), op.must("blocksize"), op.text("mode", "DCR")
    n, c, h, w = stock.shapes[x]
    depth = c // size**2
    blocks = (n, size, size, depth, h, w) if mode == "DCR" else (n, depth, size, size, h, w)
    order = [0, 3, 4, 1, 5, 2] if mode == "DCR" else [0, 1, 4, 2, 5, 3]
    x = moves.permute(stock, stock.reshape(x, f"{op.name}_blocks", blocks), f"{op.name}_dealt", order)
    return [stock.reshape(x, op.name, (n, depth, h * size, w * size))]


def space_to_depth(op: Op, stock: Stock) -> list[str]:
    x, size = op.blob(), op.must("blocksize")
    n, c, h, w = stock.shapes[x]
    blocks = stock.reshape(x, f"{op.name}_blocks", (n, c, h // size, size, w // size, size))
    x = moves.permute(stock, blocks, f"{op.name}_dealt", [0, 3, 5, 1, 2, 4])
    return [stock.reshape(x, op.name, (n, c * size**2, h // size, w // size))]


def pad(op: Op, stock: Stock) -> list[str]:
    x, mode = op.blob(), op.text("mode", "constant")
    shape = stock.shapes[x]
    amounts = op.ints(1, "pads") or []
    value = float(np.ravel(op.array(2, op.get("value", 0.0)))[0])
    axes = [a % len(shape) for a in op.ints(3, default=range(len(shape))) or []]
    before, after = [0] * len(shape), [0] * len(shape)
    for i, axis in enumerate(axes):
        before[axis], after[axis] = amounts[i], amounts[i + len(axes)]
    if mode == "constant":
        return [moves.pad(stock, x, op.name, before, after, value)]
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        moves.places(shape[axis] + max(b, 0) + max(a, 0))  # that there are not too many
        places = np.arange(-min(b, 0), shape[axis] + min(a, 0))
        places = np.pad(places, (max(b, 0), max(a, 0)), mode)  # type: ignore[call-overload]  # np's modes are ONNX's
        x = moves.take(stock, x, op.name, axis, places)
    return [x]


def resize(op: Op, stock: Stock) -> list[str]:
    """Axis by axis the matrix that the operator itself makes of unit vectors."""
    x = op.blob()
    shape = stock.shapes[x]
    options = {name: op.get(name) for name in list(op.attributes)}
    axes = [a % len(shape) for a in options.pop("axes", range(len(shape)))]
    if op.type == "Upsample" or op.opset < 11:
        factors, place = np.ravel(op.array(1, options.pop("scales", None))), 1
    else:
        place = 3 if op.given(3) is not None else 2
        factors = np.ravel(op.array(place))
    if options.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        raise Inexact("a region of interest")
    if options.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise Inexact("sizes that are kept in proportion")
    for axis, factor in zip(axes, factors, strict=True):
        if factor != (shape[axis] if place == 3 else 1):
            x = moves.matrix(stock, x, op.name, axis, _resized(op, shape[axis], factor, place, options))
    return [x]


def _resized(op: Op, size: int, factor: Any, place: int, options: dict[str, Any]) -> np.ndarray:
    """(new size, size): what becomes of each pixel of a line."""
    if size * size * max(1, float(factor) / (size if place == 3 else 1)) > MATRIX:
        raise Inexact(f"of an axis of {size}: too large for a matrix")
    units = np.eye(size, dtype=np.float32).reshape(1, size, size, 1)
    four = np.array([1, size if place == 3 else 1, factor, 1], factor.dtype)
    node = need("onnx.helper", "onnx").make_node(op.type, ["x", *[""] * (place - 1), "four"], ["y"], **options)
    (made,) = evaluate_as_run(node, [units, *[None] * (place - 1), four], op.domains)
    return made[0, :, :, 0].T


def scatter_elements(op: Op, stock: Stock) -> list[str]:
    """Values laid over one number at constant places, the same in every row: picked from the values and the number."""
    if isinstance(op.given(1), str):
        raise Inexact("no stock layer writes to computed places (Upsample and Unpooling with a mask are forks')")
    axis = op.get("axis", 0) % np.ndim(op.array(0))
    if op.text("reduction", "none") != "none":
        raise Inexact("a reduction")
    ground, places, x = op.array(0), op.array(1), op.blob(2)
    rows = np.moveaxis(places, axis, -1).reshape(-1, places.shape[axis])
    if len(np.unique(ground)) > 1 or not (rows == rows[:1]).all():
        raise Inexact("over several values, or to places that differ by row")
    if [d for i, d in enumerate(ground.shape) if i != axis] != [d for i, d in enumerate(places.shape) if i != axis]:
        raise Inexact("over a part of a blob")
    before, after = [0] * ground.ndim, [0] * ground.ndim
    after[axis] = 1
    source = np.full(ground.shape[axis], places.shape[axis])
    source[rows[0]] = np.arange(places.shape[axis])  # of equal places the last counts
    extended = moves.pad(stock, x, f"{op.name}_ground", before, after, float(ground.ravel()[0]))
    return [moves.take(stock, extended, op.name, axis, source)]


def cast(op: Op, stock: Stock) -> list[str]:
    """Between kinds of blobs; what would round is put off to a layer that cuts by itself, or refused."""
    to, x = op.must("to"), op.given(0)
    op.get("saturate")
    if to == 9:
        return [x if isinstance(x, Truth) else Truth(op.blob())]
    if to in (2, 3, 4, 5, 6, 7, 12, 13):  # the integers
        return [x if isinstance(x, Whole) else Cut(op.blob())]
    if to not in (1, 11):
        raise Inexact(f"to type {to}, which is not single precision")
    return [str(truth(op, stock))]


def truth(op: Op, stock: Stock, i: int = 0) -> str:
    """Input i; 0 and 1 where only its truth is meant."""
    x = op.blob(i, Truth)
    if not isinstance(x, Truth):
        return x
    positive = stock.add("AbsVal", [x], f"{op.name}_size")
    return Whole(stock.add("Threshold", [positive], f"{op.name}_true", threshold_param={"threshold": 0}))
