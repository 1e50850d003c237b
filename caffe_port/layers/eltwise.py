"""Eltwise: product, weighted sum or maximum of blobs, element by element."""

from __future__ import annotations

from functools import reduce
from operator import mul
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.proto import caffe_pb2

PROD, SUM, MAX = caffe_pb2.EltwiseParameter.PROD, caffe_pb2.EltwiseParameter.SUM, caffe_pb2.EltwiseParameter.MAX


@register()
class Eltwise(Layer):
    """y = prod_i x_i, sum_i coeff_i x_i (the default; coefficients default to 1) or max_i x_i.

    Bottoms: two or more of one shape, which is the top's; nothing is broadcast. SUM takes one alone too where it has a
    `coeff`, as in FlowNet2 to scale a flow; Caffe refuses that. `coeff` belongs to SUM: PROD refuses it, MAX ignores
    it, and it is given once a bottom or not at all. In place on the first bottom is refused for SUM and MAX: Caffe
    overwrites that bottom before it reads it, so that it drops out. PROD may be; its gradient is the definition's then,
    where Caffe's diffs overwrite each other.

    Gradient of PROD: the product of the others; with `stable_prod_grad: false` y / x_i, which is NaN or inf where x_i
    is 0, as in Caffe. Gradient of MAX: to one bottom alone; the second wins a tie with the first, after that the
    earlier wins. A NaN in the first bottom of MAX gives way to the second, in a later one to those before it.

    Source: eltwise_layer.cpp of BVLC Caffe 1.0. `torch.maximum` shares the gradient of a tie, and keeps every NaN.
    """

    bottoms = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.eltwise_param
        if len(bottom_shapes) < 2 and (p.operation != SUM or not p.coeff):
            raise self.error("takes at least 2 bottom blob(s), the definition gives 1")
        if p.coeff and len(p.coeff) != len(bottom_shapes):
            raise self.error(f"{len(p.coeff)} coefficients for {len(bottom_shapes)} bottoms; give one each, or none")
        if p.coeff and p.operation == PROD:
            raise self.error("coefficients are for operation SUM, not for PROD")
        if p.operation != PROD and self.param.bottom[0] == self.param.top[0]:
            raise self.error(
                f"in place on '{self.param.top[0]}' Caffe loses that bottom; name the top differently "
                "(or leave that bottom out, to get the others alone as Caffe does)"
            )
        self.coeff = list(p.coeff) or [1.0] * len(bottom_shapes)
        self.top_is_free = p.operation == SUM

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        for i, shape in enumerate(bottom_shapes):
            if shape != bottom_shapes[0]:
                raise self.shape_error(
                    f"bottom '{self.param.bottom[i]}' is {shape}, but '{self.param.bottom[0]}' is {bottom_shapes[0]}; "
                    "all must have one shape"
                )
        return [bottom_shapes[0]]

    def forward(self, *bottoms: Tensor) -> Tensor:
        p = self.param.eltwise_param
        if len(bottoms) == 1:
            return self.coeff[0] * bottoms[0]
        if p.operation == SUM:
            if len(set(self.coeff)) > 1:
                return reduce(torch.add, [x if c == 1 else c * x for c, x in zip(self.coeff, bottoms, strict=True)])
            total = reduce(torch.add, bottoms)
            return total if self.coeff[0] == 1 else total * self.coeff[0]
        if p.operation == PROD:
            return reduce(mul, bottoms) if p.stable_prod_grad else _UnstableProduct.apply(*bottoms)
        largest = torch.where(bottoms[0] > bottoms[1], bottoms[0], bottoms[1])
        for x in bottoms[2:]:
            largest = torch.where(x > largest, x, largest)
        return largest

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.eltwise_param
        if p.operation == PROD:
            product = reduce(lambda a, b: graph.node("Mul", [a, b]), bottoms[:-1])
            graph.node("Mul", [product, bottoms[-1]], tops)
            return
        if p.operation == MAX:
            graph.node("Max", bottoms, tops)
            return
        if len(bottoms) == 1:
            graph.node("Mul", [bottoms[0], graph.const(np.array(self.coeff[0], np.float32), "coeff")], tops)
            return
        scaled = [
            x if c == 1 else graph.node("Mul", [x, graph.const(np.array(c, np.float32), "coeff")])
            for c, x in zip(self.coeff, bottoms, strict=True)
        ]
        graph.node("Sum", scaled, tops)


class _UnstableProduct(torch.autograd.Function):
    """The product, with the gradient that divides the product by the factor."""

    @staticmethod
    def forward(ctx: Any, *factors: Tensor) -> Tensor:
        product = reduce(mul, factors)
        ctx.save_for_backward(product, *factors)
        return product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        product, *factors = ctx.saved_tensors
        return tuple(product / x * grad for x in factors)
