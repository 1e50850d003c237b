"""ONNX's normalizations as stock layers."""

from __future__ import annotations

from math import prod

import numpy as np

from caffe_port.proto import caffe_pb2
from converters.from_onnx_op import Op
from converters.stock import Inexact, Stock


def batch_norm(op: Op, stock: Stock) -> list[str]:
    weight, bias, mean, variance = (op.array(i) for i in range(1, 5))
    op.get("momentum")
    if op.get("training_mode", 0):
        raise Inexact("training mode")
    options = {"use_global_stats": True, "eps": op.get("epsilon", 1e-5)}
    top = stock.add("BatchNorm", [op.blob()], op.name, [mean, variance, np.ones(1)], batch_norm_param=options)
    return [stock.add("Scale", [top], f"{op.name}_scale", [weight, bias], scale_param={"bias_term": True})]


def lrn(op: Op, stock: Stock) -> list[str]:
    options = {"local_size": op.must("size"), "alpha": op.get("alpha", 1e-4), "beta": op.get("beta", 0.75)}
    if options["local_size"] % 2 == 0:
        raise Inexact("an even size: Caffe's is odd")
    return [stock.add("LRN", [op.blob()], op.name, lrn_param={**options, "k": op.get("bias", 1.0)})]


def _standardised(stock: Stock, x: str, name: str, lead: int, eps: float) -> str:
    """(x - mean) / sqrt(variance + eps) over all axes from `lead` on: MVN adds its eps to the deviation, so it centres
    only."""
    shape = stock.shapes[x]
    line = stock.reshape(x, f"{name}_line", (shape[0], prod(shape[1:lead]), prod(shape[lead:]), 1))
    centred = stock.add("MVN", [line], f"{name}_centred", mvn_param={"normalize_variance": False})
    options = {"operation": caffe_pb2.ReductionParameter.SUMSQ, "axis": 2, "coeff": 1 / prod(shape[lead:])}
    variance = stock.add("Reduction", [centred], f"{name}_variance", reduction_param=options)
    variance = stock.reshape(variance, f"{name}_axes", (*stock.shapes[variance], 1, 1))
    inverse = stock.power(variance, f"{name}_inverse", shift=eps, power=-0.5)
    return stock.reshape(stock.product(centred, inverse, f"{name}_unit"), name, shape)


def instance_norm(op: Op, stock: Stock) -> list[str]:
    top = _standardised(stock, op.blob(), op.name, 2, op.get("epsilon", 1e-5))
    blobs = [op.array(1), op.array(2)]
    return [stock.add("Scale", [top], f"{op.name}_scale", blobs, scale_param={"bias_term": True})]


def layer_norm(op: Op, stock: Stock) -> list[str]:
    x = op.blob()
    rank = len(stock.shapes[x])
    axis = op.get("axis", -1) % rank
    op.get("stash_type")
    if op.outputs > 1 or not axis:
        raise Inexact("over the batch, or with its statistics")
    top = _standardised(stock, x, op.name, axis, op.get("epsilon", 1e-5))
    bias = op.array(2)
    weight = np.broadcast_to(op.array(1), stock.shapes[x][axis:])
    blobs = [weight] if bias is None else [weight, np.broadcast_to(bias, weight.shape)]
    options = {"axis": axis, "num_axes": rank - axis, "bias_term": bias is not None}
    return [stock.add("Scale", [top], f"{op.name}_scale", blobs, scale_param=options)]


def group_norm(op: Op, stock: Stock) -> list[str]:
    """Scale and bias are one a channel from opset 21 on, one a group before."""
    x, groups = op.blob(), op.must("num_groups")
    shape = stock.shapes[x]
    op.get("stash_type")
    grouped = stock.reshape(x, f"{op.name}_groups", (shape[0], groups, prod(shape[1:]) // groups))
    top = stock.reshape(_standardised(stock, grouped, op.name, 2, op.get("epsilon", 1e-5)), f"{op.name}_whole", shape)
    blobs = [np.repeat(b, shape[1] // len(b)) for b in (op.array(1), op.array(2))]
    return [stock.add("Scale", [top], f"{op.name}_scale", blobs, scale_param={"bias_term": True})]
