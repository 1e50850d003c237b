"""What LSTM and RNN share: bottoms and tops, the state between calls, and the products with the input.

Source: src/caffe/layers/recurrent_layer.cpp and include/caffe/layers/recurrent_layer.hpp. Caffe builds a net of its own
inside the layer, unrolled over time; here the steps are a loop.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.unrolled import unrolled


class Recurrent(Layer):
    """Base of the recurrent layers: T time steps of N streams.

    Bottoms: x (T, N, ...); cont (T, N), 0 where a stream begins a new sequence and 1 elsewhere; optionally a static
    input (N, ...), seen at every step; and with expose_hidden the initial states, each (1, N, D).
    Tops: the outputs (T, N, D); with expose_hidden also the last states, each (1, N, D).

    Without expose_hidden the state stays in the layer: the next forward goes on from it wherever its first cont is not
    0, until `reset()` or a change of N. No gradient goes to cont, into or out of states: Caffe ends
    backpropagation at the first step, exposed or not. A NaN in the state stays there past a cont of 0 (0 * NaN) until
    `reset()`. `debug_info` only makes Caffe's inner net talk. Raises for shapes that do not fit, no step, and when T
    changes.
    """

    bottoms: ClassVar[tuple[int, int | None]] = (2, 5)
    tops: ClassVar[tuple[int, int | None]] = (1, 3)
    differentiable_bottoms: tuple[int, ...] | None = (0, 2)
    diffs_at_any_rate: ClassVar[bool] = True
    memory: ClassVar[tuple[str, ...]] = ("state",)
    states: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the recurrent states."""
    gates: ClassVar[int] = 1
    """How many values per output the products with the input give."""
    input_blobs: ClassVar[tuple[str, str, str]] = ("", "", "")
    """Names of the input's weight, its bias, and the static input's weight."""

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.recurrent_param
        if p.num_output < 1:
            raise self.error("num_output must be given and positive")
        exposed = len(self.states) if p.expose_hidden else 0
        if not 2 + exposed <= len(bottom_shapes) <= 3 + exposed:
            raise self.error(
                f"takes x and cont, optionally a static input, and {exposed} exposed states: "
                f"{2 + exposed} or {3 + exposed} bottoms, not {len(bottom_shapes)}"
            )
        if len(self.param.top) != 1 + exposed:
            raise self.error(f"has {1 + exposed} tops, not {len(self.param.top)}")
        self.static = len(bottom_shapes) > 2 + exposed
        self.time = bottom_shapes[0][0] if bottom_shapes[0] else 0
        if not self.time:
            raise self.shape_error(f"x {bottom_shapes[0]} has no time step")
        self.top_shapes(bottom_shapes)
        self.state: list[Tensor] | None = None
        said = f"assuming input batch contains {self.time} timesteps of {bottom_shapes[0][1]} independent streams."
        self.notes.append(("recurrent_layer.cpp:20", f"Initializing recurrent layer: {said}"))
        weight, bias, static = self.input_blobs
        size = self.gates * p.num_output
        self.add_blob(weight, (size, math.prod(bottom_shapes[0][2:])), p.weight_filler)
        self.add_blob(bias, (size,), p.bias_filler)
        if self.static:
            self.add_blob(static, (size, math.prod(bottom_shapes[2][1:])), p.weight_filler)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p, x = self.param.recurrent_param, bottom_shapes[0]
        if len(x) < 3 or x[0] != self.time or bottom_shapes[1] != x[:2]:
            raise self.shape_error(
                f"x must be ({self.time} steps, streams, features...) and cont ({self.time}, streams), "
                f"not {x} and {bottom_shapes[1]}"
            )
        if self.static and (len(bottom_shapes[2]) < 2 or bottom_shapes[2][0] != x[1]):
            raise self.shape_error(f"the static input must be ({x[1]} streams, features...), not {bottom_shapes[2]}")
        inputs = [(x, 2, self.input_blobs[0])]
        if self.static:
            inputs.append((bottom_shapes[2], 1, self.input_blobs[2]))
        for shape, first, blob in inputs:
            weight, features = getattr(self, blob, None), math.prod(shape[first:])  # at setup there are no blobs yet
            if weight is not None and features != weight.shape[1]:
                raise self.shape_error(f"{blob} takes {weight.shape[1]} features, {shape} has {features}")
        state = (1, x[1], p.num_output)
        exposed = len(self.states) if p.expose_hidden else 0
        for shape in bottom_shapes[len(bottom_shapes) - exposed :]:
            if shape != state:
                raise self.shape_error(f"exposed states must be {state}, not {shape}")
        return [(*x[:2], p.num_output)] + [state] * exposed

    def net_inside(self, bottom_shapes: list[Shape]) -> Any:
        return unrolled(self.param, bottom_shapes, self.static)

    def reset(self) -> None:
        """Forget the state: the next forward begins from zeros."""
        self.state = None

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        x, cont = bottoms[0], bottoms[1].detach().unsqueeze(-1)
        exposed = self.param.recurrent_param.expose_hidden
        start = (1, x.shape[1], self.param.recurrent_param.num_output)
        if exposed:
            state = [b[0].detach() for b in bottoms[-len(self.states) :]]
        elif self.state is not None and self.state[0].shape == start[1:] and self.state[0].dtype == x.dtype:
            state = [s.to(x.device) for s in self.state]
        else:
            state = [x.new_zeros(start[1:]) for _ in self.states]
        gates = self.input_products(x, bottoms[2] if self.static else None)
        outputs = []
        for t in range(self.time):
            output, state = self.step(gates[t], cont[t], state)
            outputs.append(output)
        last = [s.detach() for s in state]
        top = torch.stack(outputs)
        if exposed:
            return (top, *(s.unsqueeze(0) for s in last))
        self.state = last
        return top

    def input_products(self, x: Tensor, static: Tensor | None) -> Tensor:
        """What the input gives to every step at once: (T, N, gates * D)."""
        weight, bias, static_weight = self.input_blobs
        products = F.linear(x.flatten(2), getattr(self, weight), getattr(self, bias))
        return products if static is None else products + F.linear(static.flatten(1), getattr(self, static_weight))

    def step(self, gates: Tensor, cont: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One time step: the output and the new states, from (N, gates * D), (N, 1) and the states (N, D)."""
        raise NotImplementedError(type(self).__name__)

    def macs(self, bottom_shapes: list[Shape], top_shapes: list[Shape]) -> int:
        time, streams = bottom_shapes[0][:2]
        static = self.input_blobs[2]
        once = sum(getattr(self, n).numel() for n in self.present_blobs if n == static)
        each = sum(getattr(self, n).numel() for n in self.present_blobs if getattr(self, n).dim() > 1) - once
        return streams * (time * each + once)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        """Unrolled over the T steps. No state is kept between calls: without expose_hidden it starts from zeros."""
        x, cont = bottoms[:2]
        weight, bias, static = self.input_blobs
        # Reshape's 0 keeps T and N as they come.
        vectors = graph.node("Reshape", [x, graph.const(np.array([0, 0, -1], np.int64), "shape")])
        transposed = graph.node("Transpose", [graph.blob(self, weight)], perm=[1, 0])
        products = graph.node("Add", [graph.node("MatMul", [vectors, transposed]), graph.blob(self, bias)])
        if self.static:
            flat = graph.node("Flatten", [bottoms[2]], axis=1)
            products = graph.node("Add", [products, graph.node("Gemm", [flat, graph.blob(self, static)], transB=1)])
        exposed = self.param.recurrent_param.expose_hidden
        first = graph.const(np.array([0], np.int64), "axes")
        behind = graph.const(np.array([1], np.int64), "axes")
        state: list[str] = []
        if exposed:
            state = [graph.node("Squeeze", [b, first]) for b in bottoms[-len(self.states) :]]
        outputs = []
        for t in range(self.time):
            now = graph.const(np.array(t, np.int64), "step")
            gates = graph.node("Gather", [products, now], axis=0)
            flag = graph.node("Unsqueeze", [graph.node("Gather", [cont, now], axis=0), behind])
            output, state = self.onnx_step(graph, gates, flag, state)
            outputs.append(graph.node("Unsqueeze", [output, first]))
        graph.node("Concat", outputs, tops[:1], axis=0)
        for value, top in zip(state, tops[1:], strict=False):
            graph.node("Unsqueeze", [value, first], [top])

    def onnx_step(self, graph: Any, gates: str, cont: str, state: list[str]) -> tuple[str, list[str]]:
        """`step` in ONNX; no state means zeros."""
        raise NotImplementedError(type(self).__name__)

    def onnx_recur(self, graph: Any, gates: str, cont: str, hidden: str, weight: str) -> str:
        """gates + W (cont * hidden)."""
        product = graph.node("Gemm", [graph.node("Mul", [hidden, cont]), graph.blob(self, weight)], transB=1)
        return graph.node("Add", [gates, product])
