"""Input: blobs that the caller fills before each forward."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


@register()
class Input(Layer):
    """Tops that the driver feeds. No bottoms; one top or more, shaped by `input_param.shape`.

    One shape serves all tops, or each top has its own; with no shape at all the tops start as scalars and are shaped by the
    caller. Raises for another number of shapes, and for negative sizes.
    Source: src/caffe/layers/input_layer.cpp. In torch these are the arguments of forward.
    """

    role: ClassVar[str] = "input"
    bottoms: ClassVar[tuple[int, int | None]] = (0, 0)
    tops: ClassVar[tuple[int, int | None]] = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        count, tops = len(self.param.input_param.shape), len(self.param.top)
        if count not in (0, 1, tops):
            raise self.error(f"must specify shape once for all tops or once a top: {count} shapes for {tops} tops")
        for shape in self.param.input_param.shape:
            if any(d < 0 for d in shape.dim):
                raise self.shape_error(f"shape {tuple(shape.dim)} has a negative size")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shapes = [tuple(shape.dim) for shape in self.param.input_param.shape]
        return shapes * len(self.param.top) if len(shapes) == 1 else shapes or [()] * len(self.param.top)

    def forward(self, *bottoms: Tensor) -> Tensor:
        raise self.error("an input is fed by the driver; it computes nothing")
