"""Reduction: each sample's tail of axes to one number."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.proto import caffe_pb2

_Ops = caffe_pb2.ReductionParameter
ONNX_OPS = {_Ops.SUM: "ReduceSum", _Ops.ASUM: "ReduceL1", _Ops.SUMSQ: "ReduceSumSquare", _Ops.MEAN: "ReduceMean"}


@register()
class Reduction(Layer):
    """y = coeff * sum x, sum |x|, sum x^2 or mean x, over all axes from `reduction_param.axis` (default 0) to the last.

    Bottom: at least one axis; top: the axes before `axis`, so () by default. The gradient of |x| at 0 is 0. A MEAN over
    nothing is NaN; the other operations give 0. An axis out of range raises ShapeError.

    Source: reduction_layer.cpp of BVLC Caffe 1.0. Only tails can be reduced, unlike torch's `dim`.
    """

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        return [shape[: self.axis(self.param.reduction_param.axis, len(shape))]]

    def forward(self, x: Tensor) -> Tensor:
        p = self.param.reduction_param
        tail = tuple(range(self.axis(p.axis, x.dim()), x.dim()))
        if p.operation == _Ops.MEAN:
            y = x.mean(tail)
        elif p.operation == _Ops.ASUM:
            y = x.abs().sum(tail)
        elif p.operation == _Ops.SUMSQ:
            y = (x * x).sum(tail)
        else:
            y = x.sum(tail)
        return y if p.coeff == 1 else y * p.coeff

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.reduction_param
        rank = len(graph.shape(bottoms[0]))
        axes = list(range(self.axis(p.axis, rank), rank))
        op = ONNX_OPS[p.operation]
        reduced = tops if p.coeff == 1 else [graph.fresh("reduced")]
        if op == "ReduceSum":  # in opset 17 the only one whose axes are an input
            graph.node(op, [*bottoms, graph.const(np.array(axes, np.int64), "axes")], reduced, keepdims=0)
        else:
            graph.node(op, bottoms, reduced, axes=axes, keepdims=0)
        if p.coeff != 1:
            graph.node("Mul", [*reduced, graph.const(np.array(p.coeff, np.float32), "coeff")], tops)
