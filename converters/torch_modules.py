"""Layers that `torch_source` writes as an `nn.Module` that every PyTorch user knows, with the weights under its usual
names.

A writer is a function named by the layer type: the layer and its bottom shapes in, a Module out, or None where this
use of the layer is not what torch's module does (it is then written operator by operator, see torch_ops.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffe_port.layers.base import Shape

SCALE = '''
class Scale(nn.Module):
    """One factor, and one term if there is a bias, for each index of the axes that `shape` does not have as 1."""

    def __init__(self, *shape: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight if self.bias is None else x * self.weight + self.bias
'''


@dataclass
class Module:
    """`make`: the expression that makes it; `state`: its tensors by their names in it; `call`: around the input `{}`;
    `helper`: the text of a class that it needs."""

    make: str
    state: dict[str, np.ndarray]
    call: str = "{}"
    helper: str = field(default="")


def array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _pair(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values))


def convolution(layer: Any, shapes: list[Shape], transposed: bool = False) -> Module | None:
    p, g = layer.param.convolution_param, layer.geometry
    if len(shapes) != 1 or g.axis != 1 or len(g.kernel) not in (1, 2, 3):
        return None
    if g.pad != g.after or not transposed and any(g.missing(shapes[0][2:])):  # a kernel over the bottom
        return None  # which torch refuses
    options = [f"kernel_size={_pair(list(g.kernel))}"]
    for name, values, usual in (("stride", g.stride, 1), ("padding", g.pad, 0), ("dilation", g.dilation, 1)):
        if any(v != usual for v in values):
            options.append(f"{name}={_pair(list(values))}")
    if p.group != 1:
        options.append(f"groups={p.group}")
    if not p.bias_term:
        options.append("bias=False")
    kind = f"nn.Conv{'Transpose' * transposed}{len(g.kernel)}d"
    make = f"{kind}({layer.channels}, {p.num_output}, {', '.join(options)})"
    return Module(make, {name: array(getattr(layer, name)) for name in layer.present_blobs})


def deconvolution(layer: Any, shapes: list[Shape]) -> Module | None:
    return convolution(layer, shapes, transposed=True)


def inner_product(layer: Any, shapes: list[Shape]) -> Module | None:
    p = layer.param.inner_product_param
    if layer.axis(p.axis, len(shapes[0])) != 1:
        return None
    weight = array(layer.weight).T if p.transpose else array(layer.weight)
    state = {"weight": weight} | ({"bias": array(layer.bias)} if p.bias_term else {})
    make = f"nn.Linear({weight.shape[1]}, {weight.shape[0]}{'' if p.bias_term else ', bias=False'})"
    return Module(make, state, "{}" if len(shapes[0]) == 2 else "{}.flatten(1)")


def batch_norm(layer: Any, shapes: list[Shape]) -> Module | None:
    rank = len(shapes[0])
    if not layer.use_global_stats or layer.scale_bias or rank not in (2, 3, 4, 5):
        return None
    mean, variance = map(array, layer.statistics())
    kind = {2: 1, 3: 1, 4: 2, 5: 3}[rank]
    make = f"nn.BatchNorm{kind}d({len(mean)}, eps={np.float32(layer.eps)!s}, affine=False)"
    count = np.array(0, np.int64)  # of batches tracked: torch's own book-keeping
    return Module(make, {"running_mean": mean, "running_var": variance, "num_batches_tracked": count})


def scale(layer: Any, shapes: list[Shape]) -> Module | None:
    p = layer.param.scale_param
    if len(shapes) != 1 or layer.scale.dim() == 0:
        return None
    axis = layer.axis(p.axis, len(shapes[0]))
    trailing = len(shapes[0]) - axis - layer.scale.dim()
    shape = (*layer.scale.shape, *[1] * trailing)
    state = {"weight": array(layer.scale).reshape(shape)}
    if p.bias_term:
        state["bias"] = array(layer.bias).reshape(shape)
    return Module(f"Scale({', '.join(map(str, shape))}, bias={bool(p.bias_term)})", state, helper=SCALE)


def prelu(layer: Any, shapes: list[Shape]) -> Module | None:
    (name,) = layer.present_blobs
    slope = array(getattr(layer, name)).reshape(-1)
    return Module(f"nn.PReLU({len(slope)})", {"weight": slope}) if len(shapes[0]) > 1 else None


MODULES: dict[str, Callable[[Any, list[Shape]], Module | None]] = {
    "BatchNorm": batch_norm,
    "Convolution": convolution,
    "Deconvolution": deconvolution,
    "InnerProduct": inner_product,
    "PReLU": prelu,
    "Scale": scale,
}
