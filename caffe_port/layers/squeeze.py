"""Squeeze: axes of size 1 taken away."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.layers.reshape import refuse_in_place


@register()
class Squeeze(Layer):
    """The same values without the axes `squeeze_param.axis`, each of which has size 1; without any axis of size 1 where
    none is given.

    Negative axes count from the end. Raises for an axis that is not of size 1, and in place. Without an axis given, a
    batch of one is taken away too, as in its Caffe.

    Source: squeeze_layer.cpp of Synopsys' Caffe. It is `torch.squeeze`, which leaves axes of other sizes alone.
    """

    origin = "Synopsys"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        refuse_in_place(self)

    def gone(self, shape: Shape) -> list[int]:
        """Which axes of the bottom are taken away."""
        given = sorted({self.axis(axis, len(shape)) for axis in self.param.squeeze_param.axis})
        for axis in given:
            if shape[axis] != 1:
                raise self.shape_error(f"axis {axis} of a bottom {shape} is not of size 1")
        return given or [axis for axis, size in enumerate(shape) if size == 1]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        gone = self.gone(shape)
        return [tuple(size for axis, size in enumerate(shape) if axis not in gone)]

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.top_shapes([tuple(x.shape)])[0])

    def shares_memory(self) -> bool:
        return True

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        shape = graph.shape(bottoms[0])
        gone = self.gone(shape)
        if not gone:
            graph.node("Identity", bottoms, tops)
        else:
            graph.node("Squeeze", [bottoms[0], graph.const(np.array(gone, np.int64), "axes")], tops)
