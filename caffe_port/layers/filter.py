"""Filter: only the samples that a selector lets through."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Filter(Layer):
    """Top i = those samples n of bottom i for which selector[n] is not 0; the last bottom is the selector.

    Bottoms: one or more of (N x ...), and the selector (N, or N x 1 x 1 ...). Tops: as many as bottoms without it, with
    M <= N samples, 0 included. Samples that are left out get a zero gradient, the selector none.

    M depends on the values, so the shape rule gives N, the most there can be, as Caffe does before its first forward
    pass. Reading M back makes a GPU wait. Source: filter_layer.cpp of BVLC Caffe 1.0, whose backward pass divides by
    zero at M = 0. It is `Tensor.__getitem__` with a mask.
    """

    bottoms = (2, None)
    tops = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if len(self.param.top) != len(bottom_shapes) - 1:
            raise self.error(
                f"{len(bottom_shapes)} bottoms (the last is the selector) make {len(bottom_shapes) - 1} tops, "
                f"not {len(self.param.top)}"
            )
        self.differentiable_bottoms = tuple(range(len(bottom_shapes) - 1))

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        *data, selector = bottom_shapes
        self.axis(0, len(selector))
        if any(d != 1 for d in selector[1:]):
            raise self.shape_error(f"the selector {selector} must have one value a sample: N, or N x 1 x 1 ...")
        for i, shape in enumerate(data):
            if shape[:1] != selector[:1]:
                raise self.shape_error(
                    f"bottom '{self.param.bottom[i]}' {shape} and the selector {selector} differ in the first dimension"
                )
        return data

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        *data, selector = bottoms
        chosen = selector.detach().flatten().nonzero().flatten()
        return tuple(x.index_select(0, chosen) for x in data)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        flat = graph.node("Reshape", [bottoms[-1], graph.const(np.array([-1], np.int64), "shape")])
        chosen = graph.node("Cast", [flat], to=9)
        for x, top in zip(bottoms[:-1], tops, strict=True):
            graph.node("Compress", [x, chosen], [top], axis=0)
