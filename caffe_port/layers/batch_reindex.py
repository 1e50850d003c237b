"""BatchReindex: samples chosen, repeated or reordered by their numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class BatchReindex(Layer):
    """y[m] = x[index[m]].

    Bottoms: x (N x ...), index (M), numbers in [0, N) as floats. Top: (M x ...). The gradient of a sample is the sum
    over its uses; the index gets none. A number out of range raises LayerError on the CPU (on CUDA the device's
    assertion).

    Source: batch_reindex_layer.cpp of BVLC Caffe 1.0. It is `torch.index_select` along axis 0.
    """

    bottoms = (2, 2)
    differentiable_bottoms = (0,)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        x, index = bottom_shapes
        self.axis(0, len(x))
        if len(index) != 1:
            raise self.shape_error(f"the index must have one axis, not {index}")
        return [(*index, *x[1:])]

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        index = index.detach()
        if index.device.type == "cpu" and not torch.compiler.is_compiling():
            bad = ~((index >= 0) & (index < x.shape[0]))
            if bad.any():
                at = int(bad.nonzero()[0])
                raise self.error(f"index {index[at].item():g} at {at} is not a sample: there are {x.shape[0]}")
        return x.index_select(0, index.long())

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("Gather", [bottoms[0], graph.node("Cast", [bottoms[1]], to=7)], tops, axis=0)
