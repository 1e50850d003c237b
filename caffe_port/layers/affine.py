"""scale * x + shift with constants, as torch and as ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor


def affine(x: Tensor, scale: float, shift: float) -> Tensor:
    """scale * x + shift; a scale of 1 and a shift of 0 cost nothing, as in Caffe."""
    if scale != 1:
        x = x * scale
    return x + shift if shift != 0 else x


def onnx_affine(graph: Any, x: str, scale: float, shift: float) -> str:
    if scale != 1:
        x = graph.node("Mul", [x, graph.const(np.float32(scale), "scale")])
    return graph.node("Add", [x, graph.const(np.float32(shift), "shift")]) if shift != 0 else x
