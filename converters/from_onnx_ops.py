"""ONNX operators as stock Caffe layers: one small function an operator, from an `Op` to the names of its tops.

A function raises Inexact where stock layers have no exact form. What it does not read of an operator's attributes is
refused by the caller, so nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffe_port.proto import caffe_pb2
from converters.stock import Inexact, Stock


@dataclass
class Op:
    """An operation in ONNX's words. `inputs`: a blob's name, an array (a constant), or None (left out)."""

    type: str
    name: str
    inputs: list[str | np.ndarray | None]
    attributes: dict[str, Any]
    outputs: int = 1
    unread: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.unread = set(self.attributes)

    def get(self, name: str, default: Any = None) -> Any:
        self.unread.discard(name)
        return self.attributes.get(name, default)

    def blob(self, i: int = 0) -> str:
        given = self.inputs[i]
        if not isinstance(given, str):
            raise Inexact(f"its input {i} is a constant")
        return given

    def array(self, i: int, default: Any = None) -> Any:
        given = self.inputs[i] if i < len(self.inputs) else None
        if isinstance(given, str):
            raise Inexact(f"its input {i} is computed, and stock layers hold it as weights")
        return default if given is None else given


def _spatial(op: Op, stock: Stock, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    n = len(kernel)
    if op.get("auto_pad", "NOTSET") not in ("NOTSET", b"NOTSET", "VALID", b"VALID"):
        raise Inexact(f"auto_pad {op.get('auto_pad')}")
    pads = list(op.get("pads", [0] * 2 * n))
    return list(op.get("strides", [1] * n)), list(op.get("dilations", [1] * n)), pads[:n], pads[n:]


def conv(op: Op, stock: Stock) -> list[str]:
    weight, bias = op.array(1), op.array(2)
    op.get("kernel_shape")
    kernel = list(weight.shape[2:])
    stride, dilation, before, after = _spatial(op, stock, kernel)
    options = {"num_output": weight.shape[0], "kernel_size": kernel, "stride": stride, "dilation": dilation}
    options |= {"group": op.get("group", 1), "bias_term": bias is not None}
    blobs = [weight] if bias is None else [weight, bias]
    return [stock.spatial(op.blob(), op.name, "Convolution", options, before, after, blobs)]


def conv_transpose(op: Op, stock: Stock) -> list[str]:
    weight, bias, group = op.array(1), op.array(2), op.get("group", 1)
    op.get("kernel_shape")
    kernel = list(weight.shape[2:])
    stride, dilation, before, after = _spatial(op, stock, kernel)
    if before != after or any(op.get("output_padding", [])) or op.get("output_shape"):
        raise Inexact("uneven pads or output_padding, which Deconvolution does not have")
    options = {"num_output": weight.shape[1] * group, "kernel_size": kernel, "stride": stride, "dilation": dilation}
    options |= {"group": group, "bias_term": bias is not None, "pad": before}
    blobs = [weight] if bias is None else [weight, bias]
    return [stock.add("Deconvolution", [op.blob()], op.name, blobs, convolution_param=options)]


def pool(op: Op, stock: Stock) -> list[str]:
    kernel, x = list(op.get("kernel_shape")), op.blob()
    stride, dilation, before, after = _spatial(op, stock, kernel)
    up, inside = op.get("ceil_mode", 0), op.get("count_include_pad", 0)
    op.get("storage_order")
    if len(kernel) != 2 or any(d != 1 for d in dilation) or op.outputs != 1:
        raise Inexact("Pooling is two-dimensional, without dilation, and its indices count otherwise")
    sizes, wanted = stock.shapes[x][2:], []
    for size, k, s, b, a in zip(sizes, kernel, stride, before, after, strict=True):
        n = -(-(size + b + a - k) // s) + 1 if up else (size + b + a - k) // s + 1
        wanted.append(n - 1 if up and (n - 1) * s >= size + b else n)
    top = stock.pool(x, op.name, "MAX" if op.type == "MaxPool" else "AVE", kernel, stride, before, wanted)
    if op.type == "AveragePool":
        top = _recounted(stock, top, op.name, (sizes, kernel, stride, before, after, wanted), bool(inside))
    return [top]


def _recounted(stock: Stock, top: str, name: str, geometry: Sequence[Sequence[int]], padded: bool) -> str:
    """Caffe's means, times the ratio of its count of a window to ONNX's, place by place.

    Caffe counts the padding, equal at both ends, and nothing past it; ONNX its own pads, or (not `padded`) none.
    """
    ratios = []
    for size, k, s, before, after, n in zip(*geometry, strict=True):
        start = np.arange(n) * s - before
        caffe = np.minimum(start + k, size + before) - start
        wanted = np.minimum(start + k, size + (after if padded else 0)) - (start if padded else np.maximum(start, 0))
        ratios.append(caffe / wanted)
    if all((r == 1).all() for r in ratios):
        return top
    return stock.add("Scale", [top], f"{name}_counts", [np.outer(*ratios)], scale_param={"axis": 2, "num_axes": 2})


def global_pool(op: Op, stock: Stock) -> list[str]:
    kind = caffe_pb2.PoolingParameter.MAX if "Max" in op.type else caffe_pb2.PoolingParameter.AVE
    if len(stock.shapes[op.blob()]) != 4:
        raise Inexact("Pooling wants four axes")
    return [stock.add("Pooling", [op.blob()], op.name, pooling_param={"pool": kind, "global_pooling": True})]


def reduce_mean(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    rank = len(stock.shapes[x])
    given = op.get("axes") or (op.array(1).tolist() if len(op.inputs) > 1 else range(rank))
    axes, keep = sorted(a % rank for a in given), op.get("keepdims", 1)
    if axes == [2, 3] and rank == 4:
        (top,) = global_pool(Op("GlobalAveragePool", op.name, [x], {}), stock)
        return [top if keep else stock.add("Flatten", [top], f"{op.name}_flat")]
    return [_reduction(stock, x, op.name, "MEAN", axes, bool(keep))]


def reduce(operation: str) -> Callable[[Op, Stock], list[str]]:
    def write(op: Op, stock: Stock) -> list[str]:
        x = op.blob()
        rank = len(stock.shapes[x])
        given = op.get("axes") or (op.array(1).tolist() if len(op.inputs) > 1 else range(rank))
        axes, keep = sorted(a % rank for a in given), op.get("keepdims", 1)
        return [_reduction(stock, x, op.name, operation, axes, bool(keep))]

    return write


def _reduction(stock: Stock, x: str, name: str, operation: str, axes: list[int], keep: bool) -> str:
    if axes != list(range(axes[0], len(stock.shapes[x]))):
        raise Inexact(f"over axes {axes}: Reduction takes the last axes only")
    options = {"operation": getattr(caffe_pb2.ReductionParameter, operation), "axis": axes[0]}
    top = stock.add("Reduction", [x], name, reduction_param=options)
    shape = stock.shapes[x][: axes[0]] + (1,) * len(axes)
    return stock.reshape(top, f"{name}_axes", shape) if keep else top


def tile(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    for axis, times in enumerate(op.array(1).tolist()):
        if times != 1:
            x = stock.add("Tile", [x], op.name, tile_param={"axis": axis, "tiles": times})
    return [x]


def gemm(op: Op, stock: Stock) -> list[str]:
    weight, bias = op.array(1), op.array(2)
    if op.get("transA", 0) or op.get("alpha", 1.0) != 1 or op.get("beta", 1.0) != 1:
        raise Inexact("Gemm with factors, or of a transposed input")
    weight = weight if op.get("transB", 0) else weight.T
    return [_inner_product(stock, op.blob(), op.name, weight, bias)]


def mat_mul(op: Op, stock: Stock) -> list[str]:
    if op.array(1).ndim != 2:
        raise Inexact("a product with a constant of other than two axes")
    return [_inner_product(stock, op.blob(), op.name, op.array(1).T, None)]


def _inner_product(stock: Stock, x: str, name: str, weight: np.ndarray, bias: np.ndarray | None) -> str:
    axis = len(stock.shapes[x]) - 1
    options = {"num_output": weight.shape[0], "axis": axis, "bias_term": bias is not None}
    blobs = [weight] if bias is None else [weight, np.broadcast_to(bias.reshape(-1), weight.shape[:1])]
    return stock.add("InnerProduct", [x], name, blobs, inner_product_param=options)


def batch_norm(op: Op, stock: Stock) -> list[str]:
    weight, bias, mean, variance = (op.array(i) for i in range(1, 5))
    op.get("momentum")
    if op.get("training_mode", 0):
        raise Inexact("training mode")
    options = {"use_global_stats": True, "eps": op.get("epsilon", 1e-5)}
    top = stock.add("BatchNorm", [op.blob()], op.name, [mean, variance, np.ones(1)], batch_norm_param=options)
    return [stock.add("Scale", [top], f"{op.name}_scale", [weight, bias], scale_param={"bias_term": True})]


def _layer(type: str, message: str = "", **names: tuple[str, Any]) -> Callable[[Op, Stock], list[str]]:
    """A layer of one bottom whose options are attributes: option=(attribute, its default)."""

    def write(op: Op, stock: Stock) -> list[str]:
        options = {option: op.get(attribute, default) for option, (attribute, default) in names.items()}
        messages: dict[str, Any] = {message: options} if message else {}
        return [stock.add(type, [op.blob()], op.name, **messages)]

    return write


def arithmetic(op: Op, stock: Stock) -> list[str]:
    """Add, Sub, Mul, Div: of two blobs, or of a blob and a constant that is one number or one a channel."""
    if all(isinstance(i, str) for i in op.inputs):
        return [_of_blobs(op, stock)]
    swapped = not isinstance(op.inputs[0], str)
    x, constant = op.blob(int(swapped)), np.asarray(op.array(int(not swapped)), np.float64)
    if op.type == "Div" and swapped:
        if constant.size != 1:
            raise Inexact("a constant divided by a blob")
        return [stock.power(stock.power(x, op.name, power=-1), f"{op.name}_by", scale=float(constant.ravel()[0]))]
    scale = {"Mul": constant, "Div": 1 / constant if op.type == "Div" else 1}.get(op.type, np.float64(1))
    shift = {"Add": constant, "Sub": constant if swapped else -constant}.get(op.type, np.float64(0))
    if op.type == "Sub" and swapped:
        scale = np.float64(-1)
    if constant.size == 1:
        return [stock.power(x, op.name, float(np.ravel(scale)[0]), float(np.ravel(shift)[0]))]
    return [_by_axis(op, stock, x, constant.shape, scale, shift)]


def _by_axis(op: Op, stock: Stock, x: str, shape: Sequence[int], scale: np.ndarray, shift: np.ndarray) -> str:
    """A constant that broadcasts along all but neighbouring axes: Scale or Bias over those."""
    whole = stock.shapes[x]
    padded = (1,) * (len(whole) - len(shape)) + tuple(shape)
    axes = [i for i, d in enumerate(padded) if d != 1]
    first, past = axes[0], axes[-1] + 1
    if padded[first:past] != whole[first:past]:
        raise Inexact(f"a constant of shape {tuple(shape)} with a blob of {whole}")
    place = {"axis": first, "num_axes": past - first}
    if op.type in ("Mul", "Div"):
        return stock.add("Scale", [x], op.name, [scale.reshape(whole[first:past])], scale_param=place)
    if np.ravel(scale)[0] == -1:
        x = stock.power(x, f"{op.name}_minus", scale=-1)
    return stock.add("Bias", [x], op.name, [shift.reshape(whole[first:past])], bias_param=place)


def _of_blobs(op: Op, stock: Stock) -> str:
    blobs = [op.blob(i) for i in range(len(op.inputs))]
    if op.type == "Mul":
        return stock.product(blobs[0], blobs[1], op.name)
    if op.type == "Div":
        return stock.product(blobs[0], stock.power(blobs[1], f"{op.name}_inverse", power=-1), op.name)
    if op.type == "Add":
        return stock.sum(blobs[0], blobs[1], op.name)
    if len({stock.shapes[b] for b in blobs}) != 1:
        raise Inexact(f"{op.type} of shapes {[stock.shapes[b] for b in blobs]}: Eltwise does not broadcast")
    coefficients = {"coeff": [1, -1]} if op.type == "Sub" else {}
    operation = caffe_pb2.EltwiseParameter.MAX if op.type == "Max" else caffe_pb2.EltwiseParameter.SUM
    return stock.add("Eltwise", blobs, op.name, eltwise_param={"operation": operation, **coefficients})


def clip(op: Op, stock: Stock) -> list[str]:
    low = float(op.get("min", op.array(1, -3.4028234663852886e38)))
    high = float(op.get("max", op.array(2, 3.4028234663852886e38)))
    return [stock.clip(op.blob(), op.name, low, high)]


def hard_sigmoid(op: Op, stock: Stock) -> list[str]:
    line = stock.power(op.blob(), f"{op.name}_line", op.get("alpha", 0.2), op.get("beta", 0.5))
    return [stock.clip(line, op.name, 0, 1)]


def hard_swish(op: Op, stock: Stock) -> list[str]:
    """x * clip(x / 6 + 1 / 2, 0, 1), ONNX's and torch's definition."""
    (gate,) = hard_sigmoid(Op("HardSigmoid", f"{op.name}_gate", op.inputs, {"alpha": 1 / 6, "beta": 0.5}), stock)
    return [stock.product(op.blob(), gate, op.name)]


def silu(op: Op, stock: Stock) -> list[str]:
    return [stock.product(op.blob(), stock.add("Sigmoid", [op.blob()], f"{op.name}_gate"), op.name)]


def prelu(op: Op, stock: Stock) -> list[str]:
    slope, channels = op.array(1), stock.shapes[op.blob()][1]
    if slope.size not in (1, channels):
        raise Inexact("slopes that are neither one nor one a channel")
    shared = slope.size == 1 and channels != 1
    blob = slope.reshape(()) if shared else slope.reshape(-1)
    return [stock.add("PReLU", [op.blob()], op.name, [blob], prelu_param={"channel_shared": shared})]


def softmax(op: Op, stock: Stock) -> list[str]:
    top = stock.add("Softmax", [op.blob()], op.name, softmax_param={"axis": op.get("axis", -1)})
    return [stock.add("Log", [top], f"{op.name}_log") if op.type == "LogSoftmax" else top]


def lrn(op: Op, stock: Stock) -> list[str]:
    options = {"local_size": op.get("size"), "alpha": op.get("alpha", 1e-4), "beta": op.get("beta", 0.75)}
    if options["local_size"] % 2 == 0:
        raise Inexact("an even size: Caffe's is odd")
    return [stock.add("LRN", [op.blob()], op.name, lrn_param={**options, "k": op.get("bias", 1.0)})]


def concat(op: Op, stock: Stock) -> list[str]:
    blobs = [op.blob(i) for i in range(len(op.inputs))]
    return [stock.add("Concat", blobs, op.name, concat_param={"axis": op.get("axis")})]


def split(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    axis = op.get("axis", 0) % len(stock.shapes[x])
    sizes = op.array(1)
    if sizes is None:
        step = -(-stock.shapes[x][axis] // op.get("num_outputs", op.outputs))
        sizes = np.diff([*range(0, stock.shapes[x][axis], step), stock.shapes[x][axis]])
    if len(sizes) == 1:
        return [x]
    points = [int(p) for p in np.cumsum(sizes)[:-1]]
    return stock.add_many("Slice", [x], op.name, len(sizes), slice_param={"axis": axis, "slice_point": points})


def slices(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    starts, ends = op.array(1).tolist(), op.array(2).tolist()
    axes, steps = op.array(3, np.arange(len(starts))).tolist(), op.array(4, np.ones(len(starts), int)).tolist()
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis %= len(stock.shapes[x])
        first, past, _ = slice(start, end, None).indices(stock.shapes[x][axis])
        if step != 1 or past <= first:
            raise Inexact("steps other than 1: Slice has none")
        x = stock.trim(x, op.name, axis, first, past - first)
    return [x]


def flatten(op: Op, stock: Stock) -> list[str]:
    x, axis = op.blob(), op.get("axis", 1)
    if axis == 1:
        return [stock.add("Flatten", [x], op.name)]
    whole = stock.shapes[x]
    return [stock.reshape(x, op.name, [int(np.prod(whole[:axis])), int(np.prod(whole[axis:]))])]


def reshape(op: Op, stock: Stock) -> list[str]:
    shape, whole = [int(d) for d in op.array(1)], stock.shapes[op.blob()]
    if op.get("allowzero", 0) and 0 in shape:
        raise Inexact("an axis of size 0")
    dims = [whole[i] if d == 0 else d for i, d in enumerate(shape)]
    if -1 in dims:
        dims[dims.index(-1)] = int(np.prod(whole)) // int(np.prod([d for d in dims if d != -1]))
    return [stock.reshape(op.blob(), op.name, dims)]


def squeeze(op: Op, stock: Stock) -> list[str]:
    whole = stock.shapes[op.blob()]
    given = op.array(1, op.get("axes"))
    if op.type == "Squeeze":
        gone = [i for i, d in enumerate(whole) if d == 1] if given is None else [int(a) % len(whole) for a in given]
        return [stock.reshape(op.blob(), op.name, [d for i, d in enumerate(whole) if i not in gone])]
    new = list(whole)
    for axis in sorted(int(a) % (len(whole) + len(given)) for a in given):
        new.insert(axis, 1)
    return [stock.reshape(op.blob(), op.name, new)]


def power(op: Op, stock: Stock) -> list[str]:
    if op.array(1).size != 1:
        raise Inexact("an exponent that is not one number")
    return [stock.power(op.blob(), op.name, power=float(op.array(1).ravel()[0]))]


def same(op: Op, stock: Stock) -> list[str]:
    for name in list(op.unread):
        op.get(name)
    return [op.blob()]


OPS: dict[str, Callable[[Op, Stock], list[str]]] = {
    "Abs": _layer("AbsVal"), "Add": arithmetic, "AveragePool": pool, "BatchNormalization": batch_norm, "Clip": clip,
    "Concat": concat, "Conv": conv, "ConvTranspose": conv_transpose, "Div": arithmetic, "Dropout": same,
    "Elu": _layer("ELU", "elu_param", alpha=("alpha", 1.0)), "Exp": _layer("Exp"), "Flatten": flatten, "Gemm": gemm,
    "GlobalAveragePool": global_pool, "GlobalMaxPool": global_pool, "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish, "Identity": same, "LRN": lrn,
    "LeakyRelu": _layer("ReLU", "relu_param", negative_slope=("alpha", 0.01)), "Log": _layer("Log"),
    "LogSoftmax": softmax, "MatMul": mat_mul, "Max": arithmetic, "MaxPool": pool, "Mul": arithmetic,
    "Neg": lambda op, stock: [stock.power(op.blob(), op.name, scale=-1)], "PRelu": prelu,
    "Pow": power, "ReduceL1": reduce("ASUM"), "ReduceMean": reduce_mean, "ReduceSum": reduce("SUM"),
    "ReduceSumSquare": reduce("SUMSQ"), "Relu": _layer("ReLU"), "Reshape": reshape, "Sigmoid": _layer("Sigmoid"),
    "Silu": silu, "Slice": slices, "Softmax": softmax, "Softplus": _layer("BNLL"), "Split": split,
    "Sqrt": lambda op, stock: [stock.power(op.blob(), op.name, power=0.5)], "Squeeze": squeeze, "Sub": arithmetic,
    "Sum": arithmetic, "Tanh": _layer("TanH"), "Tile": tile, "Unsqueeze": squeeze,
}  # fmt: skip


def write(op: Op, stock: Stock) -> list[str]:
    """The tops of `op`'s layers; raises Inexact."""
    if op.type not in OPS:
        raise Inexact("no stock layer computes this operation")
    tops = OPS[op.type](op, stock)
    if op.unread:
        raise Inexact(f"its attribute {', '.join(sorted(op.unread))} is not known here")
    return tops
