"""A coefficient laid over some axes of a bottom, from `axis` on. Used by Scale and Bias, whose rules are the same.

Source: src/caffe/layers/scale_layer.cpp:19-36, 80-97 and bias_layer.cpp:15-57.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, Shape


def blob_shape(layer: Layer, axis: int, num_axes: int, shape: Shape) -> Shape:
    """The shape of the learned coefficient: `num_axes` axes of the bottom from `axis` on; -1: all of them."""
    axis = layer.axis(axis, len(shape))
    if num_axes < -1:
        raise layer.error(f"num_axes must be at least 0, or -1 for all axes from {axis} on; not {num_axes}")
    if axis + num_axes > len(shape):
        raise layer.shape_error(f"num_axes {num_axes} from axis {axis} on is more than a bottom of {shape} has")
    return shape[axis:] if num_axes == -1 else shape[axis : axis + num_axes]


def check(layer: Layer, axis: int, shape: Shape, coefficient: Shape) -> None:
    """Raises where the coefficient does not fit over the bottom. A scalar fits everywhere."""
    if not coefficient:
        return
    axis = layer.axis(axis, len(shape))
    if shape[axis : axis + len(coefficient)] != coefficient:
        raise layer.shape_error(f"a coefficient of {coefficient} does not fit a bottom of {shape} from axis {axis} on")


def inner_axes(layer: Layer, axis: int, rank: int, coefficient_rank: int) -> int:
    """How many axes of the bottom lie behind those of the coefficient."""
    return rank - layer.axis(axis, rank) - coefficient_rank if coefficient_rank else 0


def laid_over(layer: Layer, axis: int, coefficient: Tensor, bottom: Tensor) -> Tensor:
    """The coefficient in a shape that broadcasts over the bottom."""
    inner = inner_axes(layer, axis, bottom.dim(), coefficient.dim())
    return coefficient.reshape(tuple(coefficient.shape) + (1,) * inner)


def onnx_laid_over(graph: Any, layer: Layer, axis: int, coefficient: str, rank: int, bottom: str) -> str:
    bottom_rank = len(graph.shape(bottom))
    inner = inner_axes(layer, axis, bottom_rank, rank)
    if not inner:
        return coefficient
    axes = graph.const(np.arange(rank, rank + inner, dtype=np.int64), "axes")
    return graph.node("Unsqueeze", [coefficient, axes])
