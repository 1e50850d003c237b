"""The gradient of a layer in place whose Caffe code looks at its bottom: by then the top stands there.

For the layers that so get another gradient than the derivative, on CPU and GPU alike: nets were trained with it.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from caffe_port.layers.base import Layer
from caffe_port.layers.given import Given


def blind_in_place(layer: Layer, bottom: Tensor, top: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
    """`top`; in place with `slope(top)` for its derivative, the one that Caffe computes there."""
    if list(layer.param.bottom[:1]) != list(layer.param.top[:1]) or not bottom.requires_grad:
        return top
    top = top.detach()
    return Given.apply(bottom, top, slope(top))
