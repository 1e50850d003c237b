"""LSTMUnit: one step of an LSTM, without its products with weights."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


def step(cell: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """The next cell and hidden state (..., D) from the cell, the gates' inputs (..., 4 D) and cont (..., 1)."""
    i, f, o, g = gates.chunk(4, -1)
    cell = cont * torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return cell, torch.sigmoid(o) * torch.tanh(cell)


def onnx_step(graph: Any, cell: str | None, gates: str, cont: str | None, outputs: list[Any], size: int) -> list[str]:
    """`step` in ONNX; without a cell it starts from zeros. `outputs`: two names, or 1 for new ones."""
    sizes = graph.const(np.array([size] * 4, np.int64), "sizes")
    i, f, o, g = graph.node("Split", [gates, sizes], 4, axis=-1)
    new = graph.node("Mul", [graph.node("Sigmoid", [i]), graph.node("Tanh", [g])])
    if cell is None:
        c = new if outputs[0] == 1 else graph.node("Identity", [new], outputs[0])
    else:
        kept = graph.node("Mul", [graph.node("Mul", [graph.node("Sigmoid", [f]), cont]), cell])
        c = graph.node("Add", [kept, new], outputs[0])
    h = graph.node("Mul", [graph.node("Sigmoid", [o]), graph.node("Tanh", [c])], outputs[1])
    return [c, h]


@register()
class LSTMUnit(Layer):
    """c' = cont * sigmoid(f) * c + sigmoid(i) * tanh(g); h' = sigmoid(o) * tanh(c').

    Bottoms: c (1, N, D), the gates' inputs (1, N, 4 D) in the order i, f, o, g, and cont (1, N), which is 0 where a
    sequence begins and 1 elsewhere. Tops: c' and h', (1, N, D). No gradient to cont. Raises for other shapes.
    Source: src/caffe/layers/lstm_unit_layer.cpp. For a cont that is neither 0 nor 1 the gradient to f is the
    derivative, as in Caffe's GPU code; its CPU code differs there. torch's LSTM orders the gates i, f, g, o.
    """

    bottoms: ClassVar[tuple[int, int | None]] = (3, 3)
    tops: ClassVar[tuple[int, int | None]] = (2, 2)
    differentiable_bottoms: tuple[int, ...] | None = (0, 1)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        cell, gates, cont = bottom_shapes
        if len(cell) != 3 or cell[0] != 1 or gates != (1, cell[1], 4 * cell[2]) or cont != (1, cell[1]):
            raise self.shape_error(f"bottoms must be (1, N, D), (1, N, 4 D) and (1, N), not {cell}, {gates} and {cont}")
        return [cell, cell]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, Tensor]:
        cell, gates, cont = bottoms
        return step(cell, gates, cont.detach().unsqueeze(-1))

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        axes = graph.const(np.array([2], np.int64), "axes")
        cont = graph.node("Unsqueeze", [bottoms[2], axes])
        onnx_step(graph, bottoms[0], bottoms[1], cont, [[tops[0]], [tops[1]]], graph.shape(bottoms[0])[2])
