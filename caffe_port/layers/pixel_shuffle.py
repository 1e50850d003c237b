"""PixelShuffle: channels laid out as pixels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class PixelShuffle(Layer):
    """Bottom (N, C r^2, H, W); top (N, C, H r, W r): top[c, h r + i, w r + j] is bottom[c r^2 + i r + j, h, w].

    r is `upscale_factor`; one fork gives its square as `scale`, so both are read, in `pixelshuffle_param` or
    `pixel_shuffle_param`. Raises where not exactly one is given, where scale is no square, and where r^2 does not
    divide the channels.

    Source: Shi et al., 2016, and the layers of this name of several Caffes, which agree on the order. It is
    `F.pixel_shuffle`.
    """

    origin = "Shi et al. 2016"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        given = [p for p in (self.param.pixelshuffle_param, self.param.pixel_shuffle_param) if p.ListFields()]
        if len(given) != 1 or len(given[0].ListFields()) != 1:
            raise self.error("give upscale_factor, or its square as scale, once")
        self.factor = given[0].upscale_factor or round(given[0].scale**0.5)
        if self.factor < 1 or given[0].HasField("scale") and self.factor**2 != given[0].scale:
            raise self.error(f"upscale_factor must be positive, scale a square; it is {given[0].scale or self.factor}")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return [top_shape(self, bottom_shapes[0], self.factor)]

    def forward(self, bottom: Tensor) -> Tensor:
        if bottom.numel() == 0:
            return bottom.reshape(self.top_shapes([tuple(bottom.shape)])[0])
        return F.pixel_shuffle(bottom, self.factor)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("DepthToSpace", bottoms, tops, blocksize=int(self.factor), mode="CRD")


def top_shape(layer: Layer, shape: Shape, r: int) -> Shape:
    if len(shape) != 4 or shape[1] % r**2:
        raise layer.shape_error(f"{r**2} must divide the channels of (num, channels, height, width), not {shape}")
    return (shape[0], shape[1] // r**2, shape[2] * r, shape[3] * r)
