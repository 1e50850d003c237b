"""Resample: planes brought to another size: nearest, linear or cubic, with the picture smoothed where it shrinks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register
from caffe_port.proto import caffe_pb2

NEAREST, LINEAR, CUBIC = (caffe_pb2.ResampleParameter.ResampleType.Value(n) for n in ("NEAREST", "LINEAR", "CUBIC"))


@register()
class Resample(Layer):
    """Bottom (N, C, H, W), and perhaps a second whose height and width count; top (N, C, h, w), else `height`, `width`.

    With fx = W / w and fy = H / h, pixel (y, x) of the top stands at (y * fy + fx / 2 - 1/2, x * fx + fy / 2 - 1/2) of
    the bottom: FlowNet2 has the halves the wrong way round, which shows only where the two differ. NEAREST shows the
    pixel at the rounded place (0.5 away from 0), the plane's border where that is outside (FlowNet2 reads past the
    plane). LINEAR and CUBIC average the plane's pixels with weights f(a * distance) that are made to sum to 1, f being
    1 - |t|, or Keys' cubic with -1/2, and a being 1; with `antialias` and either direction shrinking, a is 1 / fx and
    1 / fy. A pixel without any weight is 0.

    Gradients are the derivatives (FlowNet2 has none); the second bottom gets none. `factor` is read past, as there.
    Raises for type AREA, and without a size. Source: resample_layer.cu of lmb-freiburg/flownet2.
    """

    origin = "FlowNet2"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)
    differentiable_bottoms: tuple[int, ...] | None = (0,)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if self.param.resample_param.type not in (NEAREST, LINEAR, CUBIC):
            raise self.unsupported("type AREA; NEAREST, LINEAR and CUBIC can be done, as in its Caffe")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.resample_param
        if any(len(shape) != 4 for shape in bottom_shapes):
            raise self.shape_error(f"bottoms must have 4 axes (num, channels, height, width): {bottom_shapes}")
        shape = bottom_shapes[0]
        size = bottom_shapes[1][2:] if len(bottom_shapes) > 1 else (p.height, p.width)
        if min(size) < 1 or min(shape[2:]) < 1:
            raise self.shape_error(f"height and width must be given and positive; {shape[2:]} to {size} cannot be done")
        return [(*shape[:2], *size)]

    def weights(self, old: Any, new: Any) -> list[np.ndarray]:
        """(h, H) and (w, W): what every row, and every column, of the top takes from the bottom's."""
        p = self.param.resample_param
        fy, fx = (n / m for n, m in zip(old, new, strict=True))
        smooth = p.antialias and max(fx, fy) > 1
        found = []
        for n, m, factor, other in ((old[0], new[0], fy, fx), (old[1], new[1], fx, fy)):
            place = np.arange(m) * factor + other / 2 - 0.5
            if p.type == NEAREST:
                nearest = np.copysign(np.floor(np.abs(place) + 0.5), place).clip(0, n - 1)
                found.append((nearest[:, None] == np.arange(n)).astype(float))
                continue
            t = np.abs(place[:, None] - np.arange(n)) / (factor if smooth else 1)
            weight = np.maximum(1 - t, 0) if p.type == LINEAR else cubic(t)
            total = weight.sum(1, keepdims=True)
            found.append(np.divide(weight, total, out=np.zeros_like(weight), where=total != 0))
        return found

    def forward(self, *bottoms: Tensor) -> Tensor:
        x = bottoms[0]
        new = self.top_shapes([tuple(b.shape) for b in bottoms])[0][2:]
        rows, columns = self.made_once(x, self.weights, tuple(x.shape[2:]), new)
        return rows @ x @ columns.T

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        shapes = [graph.shape(b) for b in bottoms]
        rows, columns = self.weights(shapes[0][2:], self.top_shapes(shapes)[0][2:])
        high = graph.node("MatMul", [graph.const(rows.astype(np.float32), "rows"), bottoms[0]])
        graph.node("MatMul", [high, graph.const(columns.T.astype(np.float32), "columns")], tops)


def cubic(t: np.ndarray) -> np.ndarray:
    """Keys' kernel at distances t >= 0, with -1/2."""
    near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0))
