"""torch's modules and functions as operations in ONNX's words: a table from a call to `(type, inputs, attributes)`.

An input is a tensor of the traced run, or a constant. `_outputs`, where there are several, is how many.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.stock import Inexact

Call = tuple[str, list[Any], dict[str, Any]]


def _pair(value: Any, n: int = 2) -> list[int]:
    return [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)] * n


def _one(type: str) -> Callable[..., Call]:
    return lambda x, *_, **__: (type, [x], {})


def _same(x: Tensor, *_: Any, **__: Any) -> Call:
    return ("Identity", [x], {})


def conv(m: Any, x: Tensor) -> Call:
    if m.padding_mode != "zeros" or isinstance(m.padding, str):
        raise Inexact(f"padding {m.padding!r} of mode {m.padding_mode}")
    options = {"strides": list(m.stride), "pads": list(m.padding) * 2, "dilations": list(m.dilation), "group": m.groups}
    if m.transposed:
        return ("ConvTranspose", [x, m.weight, m.bias], {**options, "output_padding": list(m.output_padding)})
    return ("Conv", [x, m.weight, m.bias], options)


def batch_norm(m: Any, x: Tensor) -> Call:
    if m.running_mean is None:
        raise Inexact("it has no running statistics")
    ones, zeros = torch.ones_like(m.running_mean), torch.zeros_like(m.running_mean)
    weight, bias = (ones if m.weight is None else m.weight), (zeros if m.bias is None else m.bias)
    return ("BatchNormalization", [x, weight, bias, m.running_mean, m.running_var], {"epsilon": m.eps})


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Call:
    return ("Gemm", [x, weight, bias], {"transB": 1})


def max_pool(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Call:  # fmt: skip
    if return_indices:
        raise Inexact("indices of the maxima")
    kernel = _pair(kernel_size)
    options = {"kernel_shape": kernel, "strides": _pair(stride or kernel), "pads": _pair(padding) * 2}
    return ("MaxPool", [x], {**options, "dilations": _pair(dilation), "ceil_mode": int(ceil_mode)})


def avg_pool(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: Any = None,
) -> Call:  # fmt: skip
    if divisor_override:
        raise Inexact("another divisor than the window")
    kernel = _pair(kernel_size)
    options = {"kernel_shape": kernel, "strides": _pair(stride or kernel), "pads": _pair(padding) * 2}
    return ("AveragePool", [x], {**options, "ceil_mode": int(ceil_mode), "count_include_pad": int(count_include_pad)})


def adaptive(kind: str) -> Callable[..., Call]:
    def write(x: Tensor, output_size: Any) -> Call:
        sizes = [x.shape[2 + i] if o is None else o for i, o in enumerate(_adaptive_sizes(output_size))]
        if list(x.shape[2:]) == sizes:
            return _same(x)
        if sizes == [1, 1]:
            return (f"Global{kind}Pool", [x], {})
        if any(i % o for i, o in zip(x.shape[2:], sizes, strict=True)):
            raise Inexact(f"windows of several sizes: {tuple(x.shape[2:])} to {tuple(sizes)} is no whole ratio")
        window = [i // o for i, o in zip(x.shape[2:], sizes, strict=True)]
        return (f"{kind}Pool", [x], {"kernel_shape": window, "strides": window})

    return write


def _adaptive_sizes(size: Any) -> list[Any]:
    return list(size) if isinstance(size, list | tuple) else [size, size]


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Call:
    start, end = start_dim % x.dim(), end_dim % x.dim()
    return ("Reshape", [x, list(x.flatten(start, end).shape)], {})


def view(x: Tensor, *shape: Any) -> Call:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple | torch.Size) else shape
    return ("Reshape", [x, list(x.reshape(*sizes).shape)], {})


def mean(x: Tensor, dim: Any = None, keepdim: bool = False) -> Call:
    axes = list(range(x.dim())) if dim is None else _pair(dim, 1)
    return ("ReduceMean", [x], {"axes": axes, "keepdims": int(keepdim)})


def permute(x: Tensor, *dims: Any) -> Call:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], list | tuple) else dims
    return ("Transpose", [x], {"perm": [int(d) % x.dim() for d in order]})


def transpose(x: Tensor, dim0: int, dim1: int) -> Call:
    order = list(range(x.dim()))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return ("Transpose", [x], {"perm": order})


def reshaped(name: str) -> Callable[..., Call]:
    """A tensor's method that only changes the shape."""
    return lambda x, *args, **kwargs: ("Reshape", [x, list(getattr(x, name)(*args, **kwargs).shape)], {})


def _binary(type: str) -> Callable[..., Call]:
    def write(a: Any, b: Any, alpha: float = 1) -> Call:
        if alpha != 1:
            raise Inexact("alpha other than 1")
        return (type, [a, b], {})

    return write


def cat(tensors: Any, dim: int = 0) -> Call:
    return ("Concat", list(tensors), {"axis": dim})


def chunk(x: Tensor, chunks: int, dim: int = 0) -> Call:
    sizes = [part.shape[dim] for part in x.chunk(chunks, dim)]
    return ("Split", [x, sizes], {"axis": dim, "_outputs": len(sizes)})


def split(x: Tensor, split_size_or_sections: Any, dim: int = 0) -> Call:
    sizes = [part.shape[dim] for part in x.split(split_size_or_sections, dim)]
    return ("Split", [x, sizes], {"axis": dim, "_outputs": len(sizes)})


def item(x: Any, index: Any) -> Call:
    parts = index if isinstance(index, tuple) else (index,)
    if not isinstance(x, Tensor) or not all(isinstance(p, slice) for p in parts):
        raise Inexact("an index that is no slice")
    bounds = [p.indices(size) for p, size in zip(parts, x.shape, strict=False)]
    starts, ends, steps = zip(*bounds, strict=True)
    return ("Slice", [x, list(starts), list(ends), list(range(len(parts))), list(steps)], {})


def clamp(x: Tensor, min: Any = None, max: Any = None) -> Call:
    return ("Clip", [x, min, max], {})


def leaky(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Call:
    return ("LeakyRelu", [x], {"alpha": negative_slope})


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Call:
    return ("Elu", [x], {"alpha": alpha})


def relu6(x: Tensor, inplace: bool = False) -> Call:
    return ("Clip", [x, 0.0, 6.0], {})


def hard_sigmoid(x: Tensor, inplace: bool = False) -> Call:
    return ("HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5})


def softmax(type: str) -> Callable[..., Call]:
    def write(x: Tensor, dim: int | None = None, **_: Any) -> Call:
        if dim is None:
            raise Inexact("it does not say its dim")
        return (type, [x], {"axis": dim})

    return write


def lrn(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Call:
    return ("LRN", [x], {"size": size, "alpha": alpha, "beta": beta, "bias": k})


def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Call:
    if beta != 1:
        raise Inexact("beta other than 1")
    return ("Softplus", [x], {})


def _of(function: Callable[..., Call], *names: str) -> Callable[..., Call]:
    """A module as the function that it calls with its own attributes."""
    return lambda m, x: function(x, **{name: getattr(m, name) for name in names})


MODULES: dict[type, Callable[..., Call]] = {
    nn.Conv1d: conv, nn.Conv2d: conv, nn.Conv3d: conv, nn.ConvTranspose2d: conv, nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm, nn.BatchNorm3d: batch_norm, nn.Linear: lambda m, x: linear(x, m.weight, m.bias),
    nn.MaxPool2d: _of(max_pool, "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    nn.AvgPool2d: _of(avg_pool, "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    nn.AdaptiveAvgPool2d: _of(adaptive("Average"), "output_size"),
    nn.AdaptiveMaxPool2d: _of(adaptive("Max"), "output_size"),
    nn.ReLU: _of(_one("Relu")), nn.ReLU6: _of(relu6), nn.LeakyReLU: _of(leaky, "negative_slope"),
    nn.PReLU: lambda m, x: ("PRelu", [x, m.weight], {}), nn.ELU: _of(elu, "alpha"),
    nn.Sigmoid: _of(_one("Sigmoid")), nn.Tanh: _of(_one("Tanh")), nn.SiLU: _of(_one("Silu")),
    nn.Hardswish: _of(_one("HardSwish")), nn.Hardsigmoid: _of(hard_sigmoid),
    nn.Hardtanh: lambda m, x: clamp(x, m.min_val, m.max_val), nn.Softplus: _of(softplus, "beta"),
    nn.Softmax: _of(softmax("Softmax"), "dim"), nn.LogSoftmax: _of(softmax("LogSoftmax"), "dim"),
    nn.Dropout: _of(_same), nn.Dropout2d: _of(_same), nn.Identity: _of(_same),
    nn.Flatten: _of(flatten, "start_dim", "end_dim"),
    nn.LocalResponseNorm: _of(lrn, "size", "alpha", "beta", "k"),
}  # fmt: skip

FUNCTIONS: dict[Any, Callable[..., Call]] = {
    F.relu: _one("Relu"), F.relu6: relu6, F.leaky_relu: leaky, F.elu: elu, F.silu: _one("Silu"),
    F.hardswish: _one("HardSwish"), F.hardsigmoid: hard_sigmoid, F.softplus: softplus, F.linear: linear,
    F.max_pool2d: max_pool, F.avg_pool2d: avg_pool, F.adaptive_avg_pool2d: adaptive("Average"),
    F.dropout: _same, F.softmax: softmax("Softmax"), F.log_softmax: softmax("LogSoftmax"),
    F.local_response_norm: lrn, torch.relu: _one("Relu"), torch.sigmoid: _one("Sigmoid"), torch.tanh: _one("Tanh"),
    torch.exp: _one("Exp"), torch.log: _one("Log"), torch.abs: _one("Abs"), torch.sqrt: _one("Sqrt"),
    torch.clamp: clamp, torch.cat: cat, torch.flatten: flatten, torch.reshape: view, torch.mean: mean,
    torch.chunk: chunk, torch.split: split, torch.add: _binary("Add"), torch.sub: _binary("Sub"),
    torch.mul: _binary("Mul"), torch.div: _binary("Div"), torch.maximum: _binary("Max"), torch.neg: _one("Neg"),
    torch.softmax: softmax("Softmax"), operator.add: _binary("Add"), operator.sub: _binary("Sub"),
    operator.mul: _binary("Mul"), operator.truediv: _binary("Div"), operator.neg: _one("Neg"),
    operator.iadd: _binary("Add"), operator.imul: _binary("Mul"), operator.isub: _binary("Sub"),
    operator.getitem: item, torch.permute: permute, torch.transpose: transpose, torch.squeeze: reshaped("squeeze"),
    torch.unsqueeze: reshaped("unsqueeze"),
    "relu": _one("Relu"), "sigmoid": _one("Sigmoid"), "tanh": _one("Tanh"), "exp": _one("Exp"), "log": _one("Log"),
    "abs": _one("Abs"), "sqrt": _one("Sqrt"), "neg": _one("Neg"), "add": _binary("Add"), "sub": _binary("Sub"),
    "mul": _binary("Mul"), "div": _binary("Div"), "clamp": clamp, "flatten": flatten, "view": view, "reshape": view,
    "mean": mean, "softmax": softmax("Softmax"), "chunk": chunk, "split": split, "contiguous": _same,
    "detach": _same, "permute": permute, "transpose": transpose, "squeeze": reshaped("squeeze"),
    "unsqueeze": reshaped("unsqueeze"),
}  # fmt: skip


def _aten_conv(x: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
               groups: int = 1) -> Call:  # fmt: skip
    if isinstance(padding, str):
        raise Inexact(f"padding {padding!r}")
    n = x.dim() - 2
    options = {"strides": _pair(stride, n), "pads": _pair(padding, n) * 2, "dilations": _pair(dilation, n)}
    return ("Conv", [x, weight, bias], {**options, "group": groups})


def _aten_batch_norm(x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float,
                     eps: float, *_: Any) -> Call:  # fmt: skip
    if training or mean is None:
        raise Inexact("it has no running statistics")
    weight = torch.ones_like(mean) if weight is None else weight
    bias = torch.zeros_like(mean) if bias is None else bias
    return ("BatchNormalization", [x, weight, bias, mean, variance], {"epsilon": eps})


def _aten_slice(x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Call:
    first, last, stride = slice(start, end, step).indices(x.shape[dim])
    return ("Slice", [x, [first], [last], [dim % x.dim()], [stride]], {})


ATEN: dict[str, Callable[..., Call]] = {
    "conv1d": _aten_conv, "conv2d": _aten_conv, "conv3d": _aten_conv, "batch_norm": _aten_batch_norm, "linear": linear,
    "max_pool2d": max_pool, "avg_pool2d": avg_pool, "adaptive_avg_pool2d": adaptive("Average"), "relu6": relu6,
    "hardtanh": lambda x, min=-1.0, max=1.0: clamp(x, min, max), "leaky_relu": leaky, "elu": elu, "silu": _one("Silu"),
    "hardswish": _one("HardSwish"), "hardsigmoid": hard_sigmoid, "softplus": softplus, "cat": cat, "dropout": _same,
    "prelu": lambda x, weight: ("PRelu", [x, weight], {}), "log_softmax": softmax("LogSoftmax"), "slice": _aten_slice,
    "maximum": _binary("Max"), "alias": _same, "clone": _same, "feature_dropout": _same, "split_with_sizes": split,
}  # fmt: skip
"""What torch.export makes of a module, by the operators' names; those of methods are in FUNCTIONS by the same names."""

INPLACE = frozenset({operator.iadd, operator.imul, operator.isub})
"""Functions that change their first argument."""
