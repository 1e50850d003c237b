"""ONNX's LSTM as the stock layer: gates in another order, one bias for two, `cont` 0 at the first step."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters import stock_moves as moves
from converters.from_onnx_op import Op
from converters.stock import Inexact, Stock

USUAL = {"forward": 1, "reverse": 1, "bidirectional": 2}
GATES = (0, 2, 1, 3)
"""Of ONNX's order input, output, forget, cell, Caffe's: input, forget, output, cell."""


def lstm(op: Op, stock: Stock) -> list[str]:
    """x (T, N, F); tops Y (T, directions, N, D), and the last h and c (directions, N, D) where they are asked for."""
    direction, size = op.text("direction", "forward"), op.must("hidden_size")
    usual = [b"Sigmoid", b"Tanh", b"Tanh"] * USUAL[direction]
    if op.get("activations", usual) != usual or op.get("layout", 0) or op.get("input_forget", 0) or op.get("clip"):
        raise Inexact("other activations, clipping, joined gates or batches first")
    if op.given(4) is not None or op.given(7) is not None:
        raise Inexact("sequences of several lengths, or peepholes")
    x = op.blob()
    backwards = moves.places(stock.shapes[x][0])[::-1]
    made = []
    for number in range(USUAL[direction]):
        turned = direction == "reverse" or number == 1
        given = moves.take(stock, x, f"{op.name}_backwards", 0, backwards) if turned else x
        tops = _one(op, stock, given, number, size)
        if turned:
            tops[0] = moves.take(stock, tops[0], f"{op.name}_forwards", 0, backwards)
        steps, streams = stock.shapes[tops[0]][:2]
        tops[0] = stock.reshape(tops[0], f"{op.name}_axes", (steps, 1, streams, size))
        made.append(tops)
    if len(made) == 1:
        return made[0]
    axes = (1, 0, 0)
    return [
        stock.add("Concat", list(both), op.name, concat_param={"axis": axis})
        for axis, *both in zip(axes, *made, strict=False)
    ]


def _one(op: Op, stock: Stock, x: str, number: int, size: int) -> list[str]:
    """One direction. The states begin as zeros, or as blobs of (1, N, D) with `expose_hidden`."""
    inputs, recurrent = (_ordered(op.array(i)[number], size) for i in (1, 2))
    both = op.array(3)
    bias = np.zeros(4 * size) if both is None else _ordered(both[number].reshape(2, -1).sum(0)[:, None], size)[:, 0]
    steps, streams = stock.shapes[x][:2]
    starts = [_start(op, stock, i, number, (1, streams, size)) for i in (5, 6)]
    exposed = op.outputs > 1 or any(s is not None for s in starts)
    cont = np.ones((steps, streams))
    cont[:1] = exposed
    bottoms = [x, stock.constant(cont, f"{op.name}_cont")]
    if exposed:
        bottoms += [s or stock.constant(np.zeros((1, streams, size)), f"{op.name}_start") for s in starts]
    options: dict[str, Any] = {"num_output": size, "expose_hidden": exposed}
    blobs = [inputs, bias, recurrent]
    return stock.add_many("LSTM", bottoms, op.name, 3 if exposed else 1, blobs, recurrent_param=options)


def _ordered(rows: np.ndarray, size: int) -> np.ndarray:
    return rows.reshape(4, size, -1)[list(GATES)].reshape(4 * size, -1)


def _start(op: Op, stock: Stock, i: int, number: int, shape: tuple[int, ...]) -> str | None:
    """A state to begin from; None for zeros."""
    given = op.given(i)
    if isinstance(given, np.ndarray):
        own = given[number : number + 1]
        return stock.constant(own, f"{op.name}_start") if own.any() else None
    if given is None:
        return None
    return stock.trim(op.blob(i), f"{op.name}_start", 0, number, 1)
