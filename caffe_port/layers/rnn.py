"""RNN: the plain recurrent layer, with an output layer of its own."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Shape, register
from caffe_port.layers.recurrent import Recurrent


@register()
class RNN(Recurrent):
    """h_t = tanh(W_hh (cont_t * h_t-1) + W_xh x_t + b_h + W_xh_static x_static); o_t = tanh(W_ho h_t + b_o).

    Bottoms, tops and state: see Recurrent; the state is h, the top is o, D = num_output. Blobs: W_xh (D, features),
    b_h (D), W_xh_static (D, static features) if there is a static input, W_hh (D, D), W_ho (D, D), b_o (D).
    Source: src/caffe/layers/rnn_layer.cpp. torch.nn.RNN gives h and has no output layer and no cont.
    """

    blob_names: tuple[str, ...] = ("W_xh", "b_h", "W_xh_static", "W_hh", "W_ho", "b_o")
    input_blobs: ClassVar[tuple[str, str, str]] = ("W_xh", "b_h", "W_xh_static")

    def setup(self, bottom_shapes: list[Shape]) -> None:
        super().setup(bottom_shapes)
        p = self.param.recurrent_param
        for name in ("W_hh", "W_ho"):
            self.add_blob(name, (p.num_output, p.num_output), p.weight_filler)
        self.add_blob("b_o", (p.num_output,), p.bias_filler)

    def step(self, gates: Tensor, cont: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(gates + F.linear(cont * state[0], self.W_hh))
        return torch.tanh(F.linear(hidden, self.W_ho, self.b_o)), [hidden]

    def onnx_step(self, graph: Any, gates: str, cont: str, state: list[str]) -> tuple[str, list[str]]:
        if state:
            gates = self.onnx_recur(graph, gates, cont, state[0], "W_hh")
        hidden = graph.node("Tanh", [gates])
        output = graph.node("Gemm", [hidden, graph.blob(self, "W_ho"), graph.blob(self, "b_o")], transB=1)
        return graph.node("Tanh", [output]), [hidden]
