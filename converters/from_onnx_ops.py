"""ONNX operators as stock Caffe layers: one small function an operator, from an `Op` to the names of its tops.

A function raises Inexact where stock layers have no exact form. What it does not read of an operator's attributes is
refused by the caller, so nothing is skipped. Here are products, reductions and arithmetic, and the table of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from caffe_port.proto import caffe_pb2
from converters import from_onnx_choices as choices
from converters import from_onnx_moves as moved
from converters import from_onnx_norms as norms
from converters import from_onnx_windows as windows
from converters import stock_moves as moves
from converters.from_onnx_lstm import lstm
from converters.from_onnx_op import Cut, Kind, Op, Places, Some, Truth, Whole
from converters.stock import Inexact, Stock


def reduce(operation: str, before: str = "", after: Any = None) -> Callable[[Op, Stock], list[str]]:
    """Reduction of any axes, which are brought to the end first. `before`: a layer on every value; `after`: power."""

    def write(op: Op, stock: Stock) -> list[str]:
        x = op.blob()
        rank = len(stock.shapes[x])
        axes, keep = sorted(op.axes(rank)), op.get("keepdims", 1)
        if not axes:
            if op.get("noop_with_empty_axes", 0):
                return [x]
            axes = list(range(rank))
        if operation == "MEAN" and axes == [2, 3] and rank == 4:
            (top,) = windows.global_pool(Op("GlobalAveragePool", op.name, [x], {}), stock)
            return [top if keep else stock.add("Flatten", [top], f"{op.name}_flat")]
        x = stock.add(before, [x], f"{op.name}_{before.lower()}") if before else x
        top = _reduction(stock, x, op.name, operation, axes, bool(keep))
        return [after(stock, top, op.name) if after else top]

    return write


def _reduction(stock: Stock, x: str, name: str, operation: str, axes: list[int], keep: bool) -> str:
    shape = stock.shapes[x]
    rest = [i for i in range(len(shape)) if i not in axes]
    x = moves.permute(stock, x, f"{name}_last", [*rest, *axes])
    options = {"operation": getattr(caffe_pb2.ReductionParameter, operation), "axis": len(rest)}
    top = stock.add("Reduction", [x], name, reduction_param=options)
    return stock.reshape(top, f"{name}_axes", [1 if i in axes else d for i, d in enumerate(shape)]) if keep else top


def gemm(op: Op, stock: Stock) -> list[str]:
    """alpha A B + beta C, of a computed A and constants; of a computed C, or A turned, in layers of their own."""
    weight, x, alpha, beta = op.array(1), op.blob(), op.get("alpha", 1.0), op.get("beta", 1.0)
    x = moves.permute(stock, x, f"{op.name}_turned", [1, 0]) if op.get("transA", 0) else x
    weight = (weight if op.get("transB", 0) else weight.T) * np.asarray(alpha, weight.dtype)
    bias = op.given(2)
    if isinstance(bias, np.ndarray) and (bias.ndim < 2 or bias.shape[0] == 1):
        return [_inner_product(stock, x, op.name, weight, bias * np.asarray(beta, bias.dtype))]
    product = _inner_product(stock, x, op.name, weight, None)
    if bias is None:
        return [product]
    other = choices.blob_or_constant(op, stock, 2)
    other = other if beta == 1 else stock.power(other, f"{op.name}_beta", scale=beta)
    return [stock.sum(product, other, f"{op.name}_sum")]


def mat_mul(op: Op, stock: Stock) -> list[str]:
    """Of a blob and a constant matrix, on either side."""
    left, right = op.given(0), op.given(1)
    if isinstance(left, np.ndarray) and left.ndim == 2:
        x = op.blob(1)
        if len(stock.shapes[x]) < 2:
            return [_inner_product(stock, x, op.name, left, None)]
        return [moves.matrix(stock, x, op.name, len(stock.shapes[x]) - 2, left)]
    if not isinstance(right, np.ndarray) and not isinstance(left, np.ndarray):
        raise Inexact("both matrices are computed, and stock layers multiply by weights only")
    weight = op.array(1)
    if weight.ndim == 1:
        x = op.blob()
        top = _inner_product(stock, x, op.name, weight[None], None)
        return [stock.reshape(top, f"{op.name}_axes", stock.shapes[x][:-1])]
    if weight.ndim != 2:
        raise Inexact("a product with a constant of other than two axes")
    return [_inner_product(stock, op.blob(), op.name, weight.T, None)]


def _inner_product(stock: Stock, x: str, name: str, weight: np.ndarray, bias: np.ndarray | None) -> str:
    axis = len(stock.shapes[x]) - 1
    options = {"num_output": weight.shape[0], "axis": axis, "bias_term": bias is not None}
    blobs = [weight] if bias is None else [weight, np.broadcast_to(bias.reshape(-1), weight.shape[:1])]
    return stock.add("InnerProduct", [x], name, blobs, inner_product_param=options)


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
        inverse = stock.power(x, f"{op.name}_inverse", power=-1)
        if constant.size != 1:
            return [stock.product(inverse, stock.constant(constant, f"{op.name}_constant"), op.name)]
        return [stock.power(inverse, op.name, scale=float(constant.ravel()[0]))]
    with np.errstate(divide="ignore"):
        scale = {"Mul": constant, "Div": 1 / constant if op.type == "Div" else 1}.get(op.type, np.float64(1))
    shift = {"Add": constant, "Sub": constant if swapped else -constant}.get(op.type, np.float64(0))
    if op.type == "Sub" and swapped:
        scale = np.float64(-1)
    if constant.size == 1 and constant.ndim <= len(stock.shapes[x]) and np.isfinite(scale).all() and np.ravel(scale)[0]:
        return [stock.power(x, op.name, float(np.ravel(scale)[0]), float(np.ravel(shift)[0]))]
    return [_by_axis(op, stock, x, constant.shape, scale, shift)]


def _by_axis(op: Op, stock: Stock, x: str, shape: Sequence[int], scale: np.ndarray, shift: np.ndarray) -> str:
    """A constant that broadcasts along all but neighbouring axes: Scale or Bias over those; else one more blob."""
    whole = stock.shapes[x]
    padded = (1,) * (len(whole) - len(shape)) + tuple(shape)
    axes = [i for i, d in enumerate(padded) if d != 1]
    first, past = (axes[0], axes[-1] + 1) if axes else (0, 0)
    factor = op.type in ("Mul", "Div")
    if not factor and np.ravel(scale)[0] == -1:
        x = stock.power(x, f"{op.name}_minus", scale=-1)
    if len(shape) > len(whole) or padded[first:past] != whole[first:past]:
        other = stock.constant(scale if factor else shift, f"{op.name}_constant")
        return stock.product(x, other, op.name) if factor else stock.sum(x, other, op.name)
    place = {"axis": first, "num_axes": past - first}
    if factor:
        return stock.add("Scale", [x], op.name, [scale.reshape(whole[first:past])], scale_param=place)
    return stock.add("Bias", [x], op.name, [shift.reshape(whole[first:past])], bias_param=place)


def _of_blobs(op: Op, stock: Stock) -> str:
    a, b = op.blob(0), op.blob(1)
    if op.type == "Mul":
        return stock.product(a, b, op.name)
    if op.type == "Div":
        return stock.product(a, stock.power(b, f"{op.name}_inverse", power=-1), op.name)
    return stock.sum(a, b, op.name) if op.type == "Add" else stock.difference(a, b, op.name)


def several(op: Op, stock: Stock) -> list[str]:
    """Sum, Mean, Max, Min: of any number of blobs and constants."""
    blobs = [choices.blob_or_constant(op, stock, i) for i in range(len(op.inputs))]
    if op.type == "Min":
        blobs = [stock.power(b, f"{op.name}_minus", scale=-1) for b in blobs]
    join = stock.sum if op.type in ("Sum", "Mean") else stock.largest
    if len(blobs) > 1 and len({stock.shapes[b] for b in blobs}) == 1:
        operation = caffe_pb2.EltwiseParameter.SUM if join == stock.sum else caffe_pb2.EltwiseParameter.MAX
        top = stock.add("Eltwise", blobs, op.name, eltwise_param={"operation": operation})
    else:
        top = blobs[0]
        for other in blobs[1:]:
            top = join(top, other, op.name)
    if op.type == "Min":
        return [stock.power(top, f"{op.name}_least", scale=-1)]
    return [stock.power(top, f"{op.name}_mean", scale=1 / len(blobs)) if op.type == "Mean" else top]


def mod(op: Op, stock: Stock) -> list[str]:
    """Of MaxPool's places and the plane's size: Caffe's mask."""
    x, size = op.given(0), np.ravel(op.array(1))
    op.get("fmod")
    if not isinstance(x, Places):
        raise Inexact("no stock layer takes remainders")
    if size.tolist() != [stock.planes[x]]:
        raise Inexact("a remainder by another number than the plane's pixels")
    return [Whole(x)]


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
    """Before opset 13, over all axes from `axis` on as one."""
    x, old = op.blob(), op.opset < 13
    shape = stock.shapes[x]
    axis = op.get("axis", 1 if old else -1) % len(shape)
    if old and axis != len(shape) - 1:
        x = stock.reshape(x, f"{op.name}_line", (prod(shape[:axis]), prod(shape[axis:])))
    top = stock.add("Softmax", [x], op.name, softmax_param={"axis": 1 if stock.shapes[x] != shape else axis})
    top = stock.reshape(top, f"{op.name}_axes", shape)
    return [stock.add("Log", [top], f"{op.name}_log") if op.type == "LogSoftmax" else top]


def power(op: Op, stock: Stock) -> list[str]:
    exponent = op.array(1)
    if exponent.size != 1:
        raise Inexact("an exponent that is not one number")
    return [stock.power(op.blob(), op.name, power=float(exponent.ravel()[0]))]


def sign(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    positive = choices.above(stock, x, f"{op.name}_positive", 0)
    negative = choices.above(stock, stock.power(x, f"{op.name}_minus", scale=-1), f"{op.name}_negative", 0)
    return [stock.difference(positive, negative, op.name)]


def selu(op: Op, stock: Stock) -> list[str]:
    top = stock.add("ELU", [op.blob()], f"{op.name}_elu", elu_param={"alpha": op.get("alpha", 1.6732632423543772)})
    return [stock.power(top, op.name, scale=op.get("gamma", 1.0507009873554805))]


def softsign(op: Op, stock: Stock) -> list[str]:
    size = stock.add("AbsVal", [op.blob()], f"{op.name}_size")
    return [stock.product(op.blob(), _inverse(stock, size, f"{op.name}_inverse", 1), op.name)]


def mish(op: Op, stock: Stock) -> list[str]:
    soft = stock.add("BNLL", [op.blob()], f"{op.name}_soft")
    return [stock.product(op.blob(), stock.add("TanH", [soft], f"{op.name}_gate"), op.name)]


def thresholded_relu(op: Op, stock: Stock) -> list[str]:
    gate = choices.above(stock, op.blob(), f"{op.name}_gate", op.get("alpha", 1.0))
    return [stock.product(op.blob(), gate, op.name)]


def _inverse(stock: Stock, x: str, name: str, shift: float = 0, power: float = -1) -> str:
    return stock.power(x, name, shift=shift, power=power)


def _root(stock: Stock, x: str, name: str) -> str:
    return stock.power(x, f"{name}_root", power=0.5)


def _log(stock: Stock, x: str, name: str) -> str:
    return stock.add("Log", [x], f"{name}_log")


OPS: dict[str, Callable[[Op, Stock], list[str]]] = {
    "Abs": _layer("AbsVal"), "Add": arithmetic, "And": choices.logic(lambda s, x, name: s.product(x[0], x[1], name)),
    "ArgMax": choices.arg_max(1), "ArgMin": choices.arg_max(-1), "AveragePool": windows.pool,
    "BatchNormalization": norms.batch_norm, "Cast": moved.cast, "Clip": clip, "Compress": choices.compress,
    "Concat": moved.concat, "Conv": windows.conv, "ConvTranspose": windows.conv_transpose,
    "DepthToSpace": moved.depth_to_space, "Div": arithmetic, "Dropout": moved.same,
    "Elu": _layer("ELU", "elu_param", alpha=("alpha", 1.0)), "Equal": choices.equal, "Exp": _layer("Exp"),
    "Expand": moved.expand, "Flatten": moved.flatten, "Gather": moved.gather, "Gemm": gemm,
    "GlobalAveragePool": windows.global_pool, "GlobalMaxPool": windows.global_pool,
    "Greater": choices.compare(or_equal=False), "GreaterOrEqual": choices.compare(or_equal=True),
    "GroupNormalization": norms.group_norm, "HardSigmoid": hard_sigmoid, "HardSwish": hard_swish,
    "Identity": moved.same, "InstanceNormalization": norms.instance_norm, "IsNaN": choices.is_nan,
    "LRN": norms.lrn, "LSTM": lstm,
    "LayerNormalization": norms.layer_norm, "LeakyRelu": _layer("ReLU", "relu_param", negative_slope=("alpha", 0.01)),
    "Less": choices.compare(or_equal=False, less=True), "LessOrEqual": choices.compare(or_equal=True, less=True),
    "Log": _layer("Log"), "LogSoftmax": softmax, "MatMul": mat_mul, "Max": several, "MaxPool": windows.pool,
    "Mean": several, "Min": several, "Mish": mish, "Mod": mod, "Mul": arithmetic,
    "Neg": lambda op, stock: [stock.power(op.blob(), op.name, scale=-1)], "Not": choices.logic(choices.opposite),
    "Or": choices.logic(lambda s, x, name: s.largest(x[0], x[1], name)), "PRelu": prelu, "Pad": moved.pad,
    "Pow": power, "Reciprocal": lambda op, stock: [_inverse(stock, op.blob(), op.name)], "ReduceL1": reduce("ASUM"),
    "ReduceL2": reduce("SUMSQ", after=_root), "ReduceLogSum": reduce("SUM", after=_log),
    "ReduceLogSumExp": reduce("SUM", "Exp", _log), "ReduceMax": choices.extreme(1), "ReduceMean": reduce("MEAN"),
    "ReduceMin": choices.extreme(-1), "ReduceSum": reduce("SUM"), "ReduceSumSquare": reduce("SUMSQ"),
    "Relu": _layer("ReLU"), "Reshape": moved.reshape, "Resize": moved.resize,
    "ScatterElements": moved.scatter_elements, "Selu": selu, "Sigmoid": _layer("Sigmoid"), "Sign": sign, "Silu": silu,
    "Slice": moved.slices, "Softmax": softmax, "Softplus": _layer("BNLL"), "Softsign": softsign,
    "SpaceToDepth": moved.space_to_depth, "Split": moved.split,
    "Sqrt": lambda op, stock: [stock.power(op.blob(), op.name, power=0.5)], "Squeeze": moved.squeeze,
    "Sub": arithmetic, "Sum": several, "Tanh": _layer("TanH"), "ThresholdedRelu": thresholded_relu, "Tile": moved.tile,
    "TopK": choices.top_k, "Transpose": moved.transpose, "Unsqueeze": moved.unsqueeze, "Upsample": moved.resize,
    "Where": choices.where, "Xor": choices.logic(choices.exclusive),
}  # fmt: skip

NO_FORM = {
    "Ceil": "no stock layer rounds", "Floor": "no stock layer rounds", "Round": "no stock layer rounds",
    "GridSample": "no stock layer reads at computed places (FlowWarp is a fork's)",
    "GRU": "no stock layer has its gates",
    "Loop": "no stock layer runs until something holds",
    "MaxRoiPool": "regions are pooled by a fork's layer only, ROIPooling",
    "NonMaxSuppression": "boxes are suppressed by forks' layers only, DetectionOutput and Proposal",
    "RNN": "the stock layer of this name squashes its outputs once more",
    "RoiAlign": "regions are pooled by a fork's layer only, ROIAlign",
}  # fmt: skip
"""Why an operator is refused, where there is more to say than that no stock layer computes it."""

ON_WHOLE = frozenset(
    "Abs Add And ArgMax ArgMin Cast Clip Compress Concat Equal Expand Flatten Gather Greater GreaterOrEqual Identity "
    "Less LessOrEqual Max Min Mod Mul Neg Not Or Pad ReduceMax ReduceMin ReduceSum Relu Reshape Sign Slice Split "
    "Squeeze Sub Sum Tile TopK Transpose Unsqueeze Where Xor".split()
)
"""What is the same on ONNX's whole numbers as on floats (a division, for one, is not) and gives whole numbers."""

EACH = frozenset("Abs Clip Elu Exp HardSigmoid HardSwish Identity LeakyRelu Log Neg Relu Sigmoid Softplus Tanh".split())
"""What goes value by value, so that it may follow a Filter."""

MOVING = frozenset("Concat Expand Flatten Identity Reshape Slice Squeeze Tile Transpose Unsqueeze".split())
"""What moves values and does not look at them."""

KEPT: tuple[tuple[Kind, frozenset[str]], ...] = ((Some, EACH), (Cut, MOVING), (Truth, MOVING))
"""Kinds of blobs, and after which operations they are of that kind still."""


def write(op: Op, stock: Stock) -> list[str]:
    """The tops of `op`'s layers; raises Inexact."""
    if op.type not in OPS:
        raise Inexact(NO_FORM.get(op.type, "no stock layer computes this operation"))
    blobs = [i for i in op.inputs if isinstance(i, str)]
    constants = [i for i in op.inputs if isinstance(i, np.ndarray)]
    if any(isinstance(b, Whole) for b in blobs) and op.type not in ON_WHOLE:
        raise Inexact("of whole numbers, on which it may round, and stock layers do not")
    kept: Kind | None = next(
        (kind for kind, after in KEPT if op.type in after and {type(b) for b in blobs} == {kind}), None
    )
    if kept:
        op.inputs = [str(i) if isinstance(i, str) else i for i in op.inputs]
    tops = OPS[op.type](op, stock)
    if op.unread:
        raise Inexact(f"its attribute {', '.join(sorted(op.unread))} is not known here")
    if op.type in ON_WHOLE and op.type != "Cast" and all(isinstance(b, Whole) for b in blobs):
        kept = None if any(c.dtype.kind == "f" for c in constants) else Whole
    return [kept(t) if type(t) is str else t for t in tops] if kept else tops
