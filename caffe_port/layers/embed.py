"""Embed: a table of vectors, looked up by index."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


@register()
class Embed(Layer):
    """y = weight[index] + bias for every index in the bottom.

    Bottom: indices as floats, any shape (a fraction is cut off); top: that shape and num_output behind it.
    Blobs: weight (input_dim, num_output), bias (num_output) unless bias_term is false. No gradient to the bottom.
    Raises for an index outside [0, input_dim) (CPU; a GPU stops by itself), where Caffe's release build reads past the
    table.
    Source: src/caffe/layers/embed_layer.cpp. torch.nn.Embedding has no bias.
    """

    blob_names: tuple[str, ...] = ("weight", "bias")
    differentiable_bottoms: tuple[int, ...] | None = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.embed_param
        if p.num_output < 1 or p.input_dim < 1:
            raise self.error(f"num_output ({p.num_output}) and input_dim ({p.input_dim}) must be given and positive")
        self.add_blob("weight", (p.input_dim, p.num_output), p.weight_filler)
        if p.bias_term:
            self.add_blob("bias", (p.num_output,), p.bias_filler)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return [(*bottom_shapes[0], self.param.embed_param.num_output)]

    def forward(self, bottom: Tensor) -> Tensor:
        index = bottom.detach().long()
        if index.device.type == "cpu" and not torch.compiler.is_compiling():
            self.check(index)
        top = F.embedding(index, self.weight)
        return top + self.bias if self.param.embed_param.bias_term else top

    def check(self, index: Tensor) -> None:
        size = self.param.embed_param.input_dim
        outside = index[(index < 0) | (index >= size)]
        if outside.numel():
            raise self.error(f"index {int(outside[0])} is outside the table of input_dim {size}")

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        index = graph.node("Cast", bottoms, to=7)  # TensorProto.INT64
        bias = self.param.embed_param.bias_term
        vectors = graph.node("Gather", [graph.blob(self, "weight"), index], 1 if bias else tops, axis=0)
        if bias:
            graph.node("Add", [vectors, graph.blob(self, "bias")], tops)
