"""Pad: a frame around every plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.proto import caffe_pb2

ZERO, REPLICATE, REFLECT = (caffe_pb2.PadParameter.PadType.Value(n) for n in ("ZERO", "REPLICATE", "REFLECT"))


@register()
class Pad(Layer):
    """Bottom (N, C, H, W); top (N, C, pad_t + H + pad_b, pad_l + W + pad_r), or `pad` on all four sides.

    The frame (`padtype`, or `type` in one fork): ZERO; REPLICATE, the nearest pixel; REFLECT, the plane mirrored at its
    edge, the edge pixel included: c b a | a b c (which is NumPy's "symmetric", not torch's "reflect"). REFLECT wants no
    side wider than the plane. Raises where no pad is given, or `pad` and a side, or both names of the type.

    Source: pad_layer.cpp of two Caffes, one with `pad` and three types, one with four sides and zeros.
    """

    origin = "forks of 2016"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.pad_param
        sides = [getattr(p, f"pad_{side}") for side in "lrtb"]
        given = any(p.HasField(f"pad_{side}") for side in "lrtb")
        if p.HasField("pad") == given:
            raise self.error("give pad, or pad_l, pad_r, pad_t and pad_b")
        if p.HasField("padtype") and p.HasField("type"):
            raise self.error("padtype and type are the same; keep one")
        self.left, self.right, self.top, self.bottom = sides if given else [p.pad] * 4
        self.kind = p.type if p.HasField("type") else p.padtype

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width), not {shape}")
        high, wide = self.top + self.bottom, self.left + self.right
        if self.kind == REFLECT and (max(self.top, self.bottom) > shape[2] or max(self.left, self.right) > shape[3]):
            raise self.shape_error(f"a plane {shape[2:]} cannot be reflected by more than its size")
        if self.kind != ZERO and min(shape[2:]) < 1:
            raise self.shape_error(f"a plane {shape[2:]} has no pixel to repeat")
        return [(*shape[:2], shape[2] + high, shape[3] + wide)]

    def sources(self, shape: Any) -> list[np.ndarray]:
        """For each row and each column of the top, the one of the bottom that it shows."""
        found = []
        for n, before, after in ((shape[-2], self.top, self.bottom), (shape[-1], self.left, self.right)):
            mode: Any = "edge" if self.kind == REPLICATE else "symmetric"
            found.append(np.pad(np.arange(n), (before, after), mode))
        return found

    def forward(self, bottom: Tensor) -> Tensor:
        if self.kind == ZERO:
            return torch.nn.functional.pad(bottom, (self.left, self.right, self.top, self.bottom))
        rows, columns = self.made_once(bottom, self.sources, bottom.shape[2:])
        return bottom.index_select(2, rows).index_select(3, columns)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        x = bottoms[0]
        if self.kind != REFLECT:  # ONNX's own reflect leaves the edge pixel out
            amounts = np.array([0, 0, self.top, self.left, 0, 0, self.bottom, self.right], np.int64)
            graph.node("Pad", [x, graph.const(amounts, "pads")], tops, mode="constant" if self.kind == ZERO else "edge")
            return
        rows, columns = (graph.const(s.astype(np.int64), "source") for s in self.sources(graph.shape(x)))
        graph.node("Gather", [graph.node("Gather", [x, rows], axis=2), columns], tops, axis=3)
