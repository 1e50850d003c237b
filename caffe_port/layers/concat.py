"""Concat: blobs one behind the other along an axis."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Concat(Layer):
    """y = the bottoms joined along `concat_param.axis` (default 1, negative from the end), or along the older
    `concat_dim`.

    Bottoms: one or more, equal in all axes but that one (of size 0, too). Top: that axis summed. One bottom passes
    through. Both options at once, or an axis out of range (`concat_dim` may not be negative), raise an error.

    Source: concat_layer.cpp of BVLC Caffe 1.0. `torch.cat` is the same, but would skip a bottom of shape (0,).
    """

    bottoms = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.concat_param
        if p.HasField("axis") and p.HasField("concat_dim"):
            raise self.error("takes either axis or concat_dim (its older name), not both")
        self.old_spelling = p.HasField("concat_dim")

    def _axis(self, rank: int) -> int:
        p = self.param.concat_param
        if not self.old_spelling:
            return self.axis(p.axis, rank)
        if p.concat_dim >= rank:
            raise self.shape_error(f"concat_dim {p.concat_dim} is out of range for a bottom of {rank} axes")
        return p.concat_dim

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        first = bottom_shapes[0]
        axis = self._axis(len(first))
        for i, shape in enumerate(bottom_shapes):
            if len(shape) != len(first) or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
                raise self.shape_error(
                    f"bottom '{self.param.bottom[i]}' is {shape}, but '{self.param.bottom[0]}' is {first}; "
                    f"all must be the same but for axis {axis}"
                )
        return [(*first[:axis], sum(s[axis] for s in bottom_shapes), *first[axis + 1 :])]

    def forward(self, *bottoms: Tensor) -> Tensor:
        return bottoms[0] if len(bottoms) == 1 else torch.cat(bottoms, self._axis(bottoms[0].dim()))

    def shares_memory(self) -> bool:
        return len(self.param.bottom) == 1

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("Concat", bottoms, tops, axis=self._axis(len(graph.shape(bottoms[0]))))
