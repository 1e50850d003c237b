"""ArgMax: where the largest values are, and optionally what they are."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class ArgMax(Layer):
    """The indices (as floats) of the `top_k` largest values, largest first; the larger index first among equal values.

    With `axis`: along that axis; top: the bottom's shape with top_k there; `out_max_val` gives the values *instead of*
    the indices. Without: over all of a sample's values; top: (N, 1, top_k), or (N, 2, top_k) with `out_max_val`:
    indices in channel 0, values in channel 1; ones follow up to the bottom's number of axes.

    `top_k` of 0, or more than there are values, raises an error. Where a NaN stands in the order Caffe leaves to
    chance; here it counts as the largest. No gradient passes (Caffe aborts when asked for one).

    Source: argmax_layer.cpp of BVLC Caffe 1.0. `torch.argmax` returns the lower index among equal values.
    """

    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.argmax_param
        self.along = p.axis if p.HasField("axis") else None

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape, p = bottom_shapes[0], self.param.argmax_param
        if self.along is not None:
            axis = self.axis(self.along, len(shape))
            among, top = shape[axis], (*shape[:axis], p.top_k, *shape[axis + 1 :])
        else:
            self.axis(0, len(shape))
            among = prod(shape[1:])
            top = (shape[0], 2 if p.out_max_val else 1, p.top_k) + (1,) * (len(shape) - 3)
        if not 1 <= p.top_k <= among:
            raise self.shape_error(f"top_k {p.top_k} must be 1 to {among}, the values of {shape} to choose from")
        return [top]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        p = self.param.argmax_param
        if self.along is not None:
            values, indices = _largest(x, self.along, p.top_k)
            return values if p.out_max_val else indices.to(x.dtype)
        (shape,) = self.top_shapes([tuple(x.shape)])
        values, indices = _largest(x.reshape(x.shape[0], prod(x.shape[1:])), 1, p.top_k)
        top = indices.to(x.dtype)
        return (torch.cat([top, values], 1) if p.out_max_val else top).reshape(shape)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.argmax_param
        if self.along is not None:
            axis = self.axis(self.along, len(graph.shape(bottoms[0])))
            values, indices = self._onnx_largest(graph, bottoms[0], axis)
            graph.node("Identity", [values if p.out_max_val else indices], tops)
            return
        values, indices = self._onnx_largest(graph, graph.node("Flatten", bottoms, axis=1), 1)
        top = graph.node("Concat", [indices, values], axis=1) if p.out_max_val else indices
        shape = [0, 2 if p.out_max_val else 1, p.top_k] + [1] * (len(graph.shape(bottoms[0])) - 3)
        graph.node("Reshape", [top, graph.const(np.array(shape, np.int64), "shape")], tops)

    def _onnx_largest(self, graph: OnnxGraph, x: str, axis: int) -> tuple[str, str]:
        """Values and float indices. TopK prefers the lower of equal indices, so it searches the axis from its end."""

        def const(*numbers: int) -> str:
            return graph.const(np.array(numbers, np.int64), "indices")

        if self.param.argmax_param.top_k == 1:
            values = graph.node("ReduceMax", [x], axes=[axis], keepdims=1)
            indices = graph.node("ArgMax", [x], axis=axis, keepdims=1, select_last_index=1)
            return values, graph.node("Cast", [indices], to=1)
        backwards = graph.node("Slice", [x, const(-1), const(-(2**31)), const(axis), const(-1)])
        values, reversed_indices = graph.node(
            "TopK", [backwards, const(self.param.argmax_param.top_k)], 2, axis=axis, largest=1, sorted=1
        )
        size = graph.node("Gather", [graph.node("Shape", [x]), const(axis)], axis=0)
        indices = graph.node("Sub", [graph.node("Sub", [size, const(1)]), reversed_indices])
        return values, graph.node("Cast", [indices], to=1)


def _largest(x: Tensor, axis: int, k: int) -> tuple[Tensor, Tensor]:
    """The k largest values along the axis and their indices; of equal values the larger index comes first."""
    last = x.shape[axis] - 1
    backwards = x.flip(axis)
    if k == 1:
        values, indices = backwards.max(axis, keepdim=True)
    else:
        values, indices = (t.narrow(axis, 0, k) for t in backwards.sort(dim=axis, descending=True, stable=True))
    return values, last - indices
