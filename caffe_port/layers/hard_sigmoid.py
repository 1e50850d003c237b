"""HardSigmoid: a sigmoid made of three straight lines."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, register


@register()
class HardSigmoid(Layer):
    """y = min(max(alpha * x + beta, 0), 1), element by element. Bottom and top: any shape.

    alpha 0.2 and beta 0.5 unless `hard_sigmoid_param` (or `hardsigmoid_param`: forks write both) says otherwise;
    MobileNetV3's own form is alpha 1/6. Raises where both messages are there.

    Source: hard_sigmoid_layer.cpp and hardsigmoid_layer.cpp of several Caffes for MobileNetV3. `F.hardsigmoid` has
    alpha 1/6.
    """

    origin = "MobileNetV3"

    def setup(self, bottom_shapes: Any) -> None:
        if self.param.HasField("hard_sigmoid_param") and self.param.HasField("hardsigmoid_param"):
            raise self.error("hard_sigmoid_param and hardsigmoid_param are the same; keep one")

    @property
    def options(self) -> Any:
        other = self.param.HasField("hardsigmoid_param")
        return self.param.hardsigmoid_param if other else self.param.hard_sigmoid_param

    def forward(self, bottom: Tensor) -> Tensor:
        p = self.options
        return (bottom * p.alpha + p.beta).clamp(0, 1)

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        graph.node("HardSigmoid", bottoms, tops, alpha=self.options.alpha, beta=self.options.beta)
