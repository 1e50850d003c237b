"""Reshape: the same values under other dimensions."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import pixel_shuffle
from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Reshape(Layer):
    """Replaces the axes [axis, axis + num_axes) of the bottom by `reshape_param.shape`; values and their order stay.

    `axis` defaults to 0; a negative one counts from the end *with one past the last axis*, so -1 appends axes.
    `num_axes` defaults to -1: all that follow; 0 only inserts. A dim of 0 copies the bottom's dim at the same place of
    the whole shape, at most one dim of -1 is what remains. ShapeError: counts that differ, a 0 with nothing to copy,
    several -1, axes out of range. In-place is refused.

    `pixelshuffler` r, of Synopsys' Caffe: not these options but PixelShuffle by r.

    Source: reshape_layer.cpp of BVLC Caffe 1.0. `torch.reshape` knows neither 0 nor a range of axes.
    """

    fork_fields: ClassVar[tuple[str, ...]] = ("reshape_param.pixelshuffler",)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        refuse_in_place(self)
        self.factor = self.param.reshape_param.pixelshuffler
        if self.factor < 1 or self.factor > 1 and self.param.reshape_param.HasField("shape"):
            raise self.error(f"pixelshuffler {self.factor} must be positive, and a shape is not for it")
        self.dims = dims = list(self.param.reshape_param.shape.dim)
        if dims.count(-1) > 1:
            raise self.shape_error(f"new shape {dims} holds several -1; at most one dimension can be inferred")
        if min(dims, default=0) < -1:
            raise self.shape_error(f"new shape {dims} holds a negative dimension other than -1")

    def _range(self, rank: int) -> tuple[int, int]:
        p = self.param.reshape_param
        start = p.axis if p.axis >= 0 else rank + p.axis + 1
        if not 0 <= start <= rank:
            raise self.shape_error(f"axis {p.axis} is out of range for a bottom of {rank} axes")
        end = rank if p.num_axes == -1 else start + p.num_axes
        if p.num_axes < -1 or end > rank:
            raise self.shape_error(
                f"num_axes {p.num_axes} from axis {start} is out of range for a bottom of {rank} axes"
            )
        return start, end

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if self.factor > 1:
            return [pixel_shuffle.top_shape(self, shape, self.factor)]
        start, end = self._range(len(shape))
        new = list(self.dims)
        for i, dim in enumerate(new):
            if dim == 0:
                if start + i >= len(shape):
                    raise self.shape_error(f"dimension {i} of the new shape is 0, but {shape} has no axis {start + i}")
                new[i] = shape[start + i]
        top = [*shape[:start], *new, *shape[end:]]
        if -1 in new:
            at = start + new.index(-1)
            known = prod(top[:at] + top[at + 1 :])
            if not known or prod(shape) % known:
                raise self.shape_error(f"the count of {shape} does not divide by {known}, so the -1 cannot be inferred")
            top[at] = prod(shape) // known
        if prod(top) != prod(shape):
            raise self.shape_error(f"{shape} cannot become {tuple(top)}: {prod(shape)} values are not {prod(top)}")
        return [tuple(top)]

    def forward(self, x: Tensor) -> Tensor:
        shape = self.top_shapes([tuple(x.shape)])[0]
        return F.pixel_shuffle(x, self.factor) if self.factor > 1 and x.numel() else x.reshape(shape)

    def shares_memory(self) -> bool:
        return self.factor == 1

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        shape = graph.shape(bottoms[0])
        if self.factor > 1:
            graph.node("DepthToSpace", bottoms, tops, blocksize=self.factor, mode="CRD")
            return
        start, end = self._range(len(shape))
        onnx_reshape(self, graph, bottoms, tops, start, self.dims, end)


def refuse_in_place(layer: Layer) -> None:
    if layer.param.bottom and list(layer.param.top) == list(layer.param.bottom):
        raise layer.error(f"cannot work in place on '{layer.param.bottom[0]}'; name the top differently")


def onnx_reshape(
    layer: Layer, graph: OnnxGraph, bottoms: list[str], tops: list[str], start: int, new: list[int], end: int
) -> None:
    """Axes [start, end) of the bottom replaced by `new`, with no batch size written but one that the definition states.

    ONNX means by 0 and -1 what Caffe means. Axes before `start` are copied (0). Where axes are inserted before the
    batch it is what remains (-1), and a dimension that the definition infers is written as the 1 that it must be.
    """
    shape = graph.shape(bottoms[0])
    dims = [0] * start + new + list(shape[end:])
    if end == 0 and shape:
        (top,) = layer.top_shapes([shape])
        dims = [*top[: len(new)], -1, *shape[1:]]
    graph.node("Reshape", [bottoms[0], graph.const(np.array(dims, np.int64), "shape")], tops)
