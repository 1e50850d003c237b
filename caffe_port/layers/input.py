"""Input: a place where the program puts data."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Input(Layer):
    """Tops of the shapes in `input_param.shape`: one for all tops, one for each, or none (the program reshapes, then
    feeds).

    The drivers put the given arrays in place of the tops and never call forward. No shape at all means no axes, as in
    Caffe, whose net then cannot run before a reshape. Source: input_layer.cpp of BVLC Caffe 1.0.
    """

    role = "input"
    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        given, tops = len(self.param.input_param.shape), len(self.param.top)
        if given not in (0, 1, tops):
            raise self.error(
                f"give input_param.shape once, once for each of the {tops} tops, or not at all; it has {given}"
            )

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shapes = [tuple(s.dim) for s in self.param.input_param.shape] or [()]
        return shapes * len(self.param.top) if len(shapes) == 1 else shapes

    def forward(self, *bottoms: Tensor) -> Tensor:
        raise self.error("it makes nothing; give its tops to the net, as net.run({'data': tensor}) or net(data=tensor)")

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        """Nothing to write: the tops are the graph's own inputs."""
