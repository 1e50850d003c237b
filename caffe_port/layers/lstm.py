"""LSTM: long short-term memory over time."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Shape, register
from caffe_port.layers.lstm_unit import onnx_step, step
from caffe_port.layers.recurrent import Recurrent


@register()
class LSTM(Recurrent):
    """(i, f, o, g) = W_xc x_t + b_c + W_xc_static x_static + W_hc (cont_t * h_t-1), then as LSTMUnit.

    Bottoms, tops and state: see Recurrent; the states are h and c, D = num_output. Blobs: W_xc (4 D, features),
    b_c (4 D), W_xc_static (4 D, static features) if there is a static input, W_hc (4 D, D); gates
    in the order i, f, o, g.
    Source: src/caffe/layers/lstm_layer.cpp; Donahue et al., 2014. torch.nn.LSTM has two biases, the order i, f, g, o
    and no cont.
    """

    blob_names: tuple[str, ...] = ("W_xc", "b_c", "W_xc_static", "W_hc")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    gates: ClassVar[int] = 4
    input_blobs: ClassVar[tuple[str, str, str]] = ("W_xc", "b_c", "W_xc_static")

    def setup(self, bottom_shapes: list[Shape]) -> None:
        super().setup(bottom_shapes)
        p = self.param.recurrent_param
        self.add_blob("W_hc", (4 * p.num_output, p.num_output), p.weight_filler)

    def step(self, gates: Tensor, cont: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden, cell = state
        cell, hidden = step(cell, gates + F.linear(cont * hidden, self.W_hc), cont)
        return hidden, [hidden, cell]

    def onnx_step(self, graph: Any, gates: str, cont: str, state: list[str]) -> tuple[str, list[str]]:
        hidden, cell = state or (None, None)
        if hidden is not None:
            gates = self.onnx_recur(graph, gates, cont, hidden, "W_hc")
        new_cell, new_hidden = onnx_step(graph, cell, gates, cont, [1, 1], self.param.recurrent_param.num_output)
        return new_hidden, [new_hidden, new_cell]
