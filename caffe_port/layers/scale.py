"""Scale: multiplication by a coefficient, learned or given as a second bottom; and a bias if wanted."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

from torch import Tensor

from caffe_port.layers import coefficient
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.proto import caffe_pb2


@register()
class Scale(Layer):
    """y = x * scale + bias, where scale and bias are laid over the bottom's axes from `axis` on.

    Bottoms: x of any shape, and optionally the scale, whose shape must be x's axes from `axis` on. Top: like x.
    Blobs: scale (unless it is a bottom) with num_axes of x's axes, () for num_axes 0, filled with 1 unless a filler is
    given; bias of the same shape with bias_term. Raises where the coefficient reaches past x or has other sizes.
    Where the axes before a learned scale count 1 (axis 0, or a batch of 1), the gradient of more than one scale
    replaces what earlier passes of the same update (iter_size) left in the diff, as in Caffe.
    Source: src/caffe/layers/scale_layer.cpp. torch broadcasts from the last axis, Caffe from `axis`.
    """

    blob_names: tuple[str, ...] = ("scale", "bias")
    top_is_free = True
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.scale_param
        if len(bottom_shapes) > 1:
            shape = bottom_shapes[1]
        else:
            shape = coefficient.blob_shape(self, p.axis, p.num_axes, bottom_shapes[0])
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            self.add_blob("scale", shape, p.filler if p.HasField("filler") else one)
        if p.bias_term:
            self.add_blob("bias", shape, p.bias_filler)
            self.layers_inside = 1

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        axis, shape = self.param.scale_param.axis, bottom_shapes[0]
        scale = bottom_shapes[1] if len(bottom_shapes) > 1 else tuple(self.scale.shape)
        coefficient.check(self, axis, shape, scale)
        if self.param.scale_param.bias_term:
            coefficient.check(self, axis, shape, tuple(self.bias.shape))
        return [shape]

    def replaced_diffs(self, bottom_shapes: list[Shape]) -> tuple[str, ...]:
        x, axis = bottom_shapes[0], self.param.scale_param.axis
        if len(bottom_shapes) > 1 or prod(x[: axis if axis >= 0 else len(x) + axis]) != 1:
            return ()
        count = self.scale.numel()
        return ("scale",) if count > 1 or count == prod(x) else ()

    def forward(self, *bottoms: Tensor) -> Tensor:
        axis, x = self.param.scale_param.axis, bottoms[0]
        scale = bottoms[1] if len(bottoms) > 1 else self.scale
        top = x * coefficient.laid_over(self, axis, scale, x)
        return top + coefficient.laid_over(self, axis, self.bias, x) if self.param.scale_param.bias_term else top

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, x = self.param.scale_param, bottoms[0]
        scale = bottoms[1] if len(bottoms) > 1 else graph.blob(self, "scale")
        rank = len(graph.shape(scale)) if len(bottoms) > 1 else self.scale.dim()
        factor = coefficient.onnx_laid_over(graph, self, p.axis, scale, rank, x)
        product = graph.node("Mul", [x, factor], 1 if p.bias_term else tops)
        if p.bias_term:
            bias = graph.blob(self, "bias")
            term = coefficient.onnx_laid_over(graph, self, p.axis, bias, self.bias.dim(), x)
            graph.node("Add", [product, term], tops)
