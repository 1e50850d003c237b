"""InnerProduct: the fully connected layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


@register()
class InnerProduct(Layer):
    """y = W x + b for each of the leading vectors: the axes from `axis` on are flattened into one of K elements.

    Bottom (leading axes..., rest...); top (leading axes..., num_output). Blobs: weight (num_output, K), or with
    `transpose` (K, num_output); bias (num_output) unless bias_term is false. Raises where a bottom has another K.
    Source: src/caffe/layers/inner_product_layer.cpp. torch.nn.Linear flattens nothing.
    """

    blob_names: tuple[str, ...] = ("weight", "bias")
    top_is_free = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p, shape = self.param.inner_product_param, bottom_shapes[0]
        if p.num_output < 1:
            raise self.error("num_output must be given and positive")
        inputs = math.prod(shape[self.axis(p.axis, len(shape)) :])
        self.add_blob("weight", (inputs, p.num_output) if p.transpose else (p.num_output, inputs), p.weight_filler)
        if p.bias_term:
            self.add_blob("bias", (p.num_output,), p.bias_filler)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p, shape = self.param.inner_product_param, bottom_shapes[0]
        axis = self.axis(p.axis, len(shape))
        inputs = self.weight.shape[0 if p.transpose else 1]
        if math.prod(shape[axis:]) != inputs:
            given = math.prod(shape[axis:])
            raise self.shape_error(f"the weights take {inputs} inputs; from axis {axis} on bottom {shape} has {given}")
        return [(*shape[:axis], p.num_output)]

    def forward(self, bottom: Tensor) -> Tensor:
        p = self.param.inner_product_param
        vectors = bottom.flatten(self.axis(p.axis, bottom.dim()))
        weight = self.weight.t() if p.transpose else self.weight
        return F.linear(vectors, weight, self.bias if p.bias_term else None)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, x = self.param.inner_product_param, bottoms[0]
        shape = graph.shape(x)
        axis = self.axis(p.axis, len(shape))
        blobs = [graph.blob(self, name) for name in self.present_blobs]
        vectors = graph.node("Flatten", [x], axis=axis) if (axis, len(shape)) != (1, 2) else x
        products = graph.node("Gemm", [vectors, *blobs], tops if axis == 1 else 1, transB=int(not p.transpose))
        if axis != 1:
            top = self.top_shapes([shape])[0]
            known = top if axis == 0 else (-1, *top[1:])
            graph.node("Reshape", [products, graph.const(np.array(known, np.int64), "shape")], tops)

    def macs(self, bottom_shapes: list[Shape], top_shapes: list[Shape]) -> int:
        return math.prod(top_shapes[0]) * self.weight.numel() // self.param.inner_product_param.num_output
