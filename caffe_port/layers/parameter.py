"""Parameter: a learnable blob as a blob of the net."""

from __future__ import annotations

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class Parameter(Layer):
    """The top is the layer's one blob `w`, of `parameter_param.shape`; it starts as zeros and learns from the top's
    diff.

    No bottoms. Source: parameter_layer.hpp of BVLC Caffe 1.0, which has no filler either: values come from weights or
    from the program. There blob and top are one memory, so several passes before an update (iter_size) leave the last
    one's diff, as here, and a loss weight on the top is lost, which counts here. It is an `nn.Parameter` handed out.
    """

    blob_names = ("w",)
    bottoms = (0, 0)
    diffs_at_any_rate = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.add_blob("w", self.param.parameter_param.shape.dim)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return [tuple(self.param.parameter_param.shape.dim)]

    def replaced_diffs(self, bottom_shapes: list[Shape]) -> tuple[str, ...]:
        return ("w",)

    def forward(self) -> Tensor:
        return self.w.view_as(self.w)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("Identity", [graph.blob(self, "w")], tops)
