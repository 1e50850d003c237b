"""BatchNorm and Scale joined into the convolution or inner product before them, as people do for inference.

Joined is what always comes together: a BatchNorm by stored statistics, and a Scale by a slope (and bias) for each
channel, each the only reader of what the layer before makes. Behind nothing that can take them they become one Scale.
The joined net computes the same but for rounding, and cannot be taken apart again. A ReLU behind stays a layer: no
format here has the two in one, and runtimes join them by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe_port.errors import ConvertError
from caffe_port.graph import Node
from caffe_port.net import Net
from caffe_port.proto.binary import LayerBlobs
from converters.compare import TOLERANCE, difference
from converters.inputs import random_inputs
from converters.model import Model
from converters.onnx_check import run_ours

Affine = tuple[np.ndarray, np.ndarray]
"""Slope and bias of each channel, float64."""
Blobs = list[np.ndarray]


def folded(model: Model) -> Model:
    """The model with its normalisations joined, and a note that says how many."""
    with torch.device("meta"):
        net = Net(model.net)
    named = model.named_blobs()
    blobs = {n.name: [named[f"{n.name}.{b}"] for b in n.layer.present_blobs] for n in net.graph.nodes}
    readers = {bottom.id: node for node in net.graph.nodes for bottom in node.bottoms}
    owners = {owner.name for node in net.graph.nodes for owner, _, _ in node.layer.shared.values()}
    tops: dict[str, str] = {}  # of the layers that others were joined to
    gone: set[str] = set()
    for node in net.graph.nodes:
        takes = _takes(node) and not node.layer.shared and node.name not in owners
        if node.name in gone or not (takes or node.param.type == "BatchNorm"):
            continue
        chain: list[Node] = [] if takes else [node]
        last = node
        while (reader := readers.get(last.tops[0].id)) is not None and _affine(reader, blobs) is not None:
            chain.append(reader)
            last = reader
        joined = [a for a in (_affine(n, blobs) for n in chain) if a is not None]
        if len(joined) < len(chain) or len(chain) < (1 if takes else 2):  # a BatchNorm of another kind; nothing to join
            continue
        blobs[node.name] = _into(node, blobs[node.name], *_one(joined))
        tops[node.name] = last.tops[0].name
        gone |= {n.name for n in chain if n is not node}
    return _rewritten(model, blobs, tops, gone)


def _takes(node: Node) -> bool:
    """Whether the layer makes its channels by a product with blobs: these can take a slope and a bias a channel."""
    p, rank = node.param, len(node.tops[0].shape) if node.tops else 0
    if p.type in ("Convolution", "Deconvolution"):
        return len(node.bottoms) == 1 and node.layer.axis(p.convolution_param.axis, rank) == 1
    return p.type == "InnerProduct" and rank == 2


def _affine(node: Node, blobs: dict[str, Blobs]) -> Affine | None:
    """What the layer does to each channel, if that is all that it does."""
    layer, rank = node.layer, len(node.bottoms[0].shape) if node.bottoms else 0
    if layer.shared or rank < 2:
        return None
    if node.param.type == "BatchNorm" and layer.use_global_stats and not layer.scale_bias:
        mean, variance, factor = (blob.astype(np.float64) for blob in blobs[node.name])
        share = 1 / factor[0] if factor[0] else 0.0
        slope = 1 / (np.sqrt(variance * share + layer.eps) + layer.eps_behind)
        return slope, -mean * share * slope
    if node.param.type == "Scale" and len(node.bottoms) == 1:
        p, own = node.param.scale_param, [blob.astype(np.float64) for blob in blobs[node.name]]
        if layer.axis(p.axis, rank) == 1 and own[0].ndim == 1:
            return own[0], own[1] if p.bias_term else np.zeros_like(own[0])
    return None


def _one(affine: Sequence[Affine]) -> Affine:
    """One after the other, as one."""
    slope, bias = affine[0]
    for s, b in affine[1:]:
        slope, bias = slope * s, bias * s + b
    return slope, bias


def _into(node: Node, own: Blobs, slope: np.ndarray, bias: np.ndarray) -> Blobs:
    """The layer's weights and bias with slope and bias in them; of a BatchNorm, those of the Scale that it becomes."""
    if node.param.type == "BatchNorm":
        return [slope.astype(np.float32), bias.astype(np.float32)]
    weight = own[0].astype(np.float64)
    if node.param.type == "Deconvolution":  # inputs, then the outputs of one group
        group = node.param.convolution_param.group
        parts = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])
        weight = (parts * slope.reshape(group, 1, -1, *[1] * (weight.ndim - 2))).reshape(weight.shape)
    elif node.param.type == "InnerProduct" and node.param.inner_product_param.transpose:
        weight = weight * slope
    else:
        weight = weight * slope.reshape(-1, *[1] * (weight.ndim - 1))
    moved = bias + slope * own[1] if len(own) > 1 else bias
    return [weight.astype(np.float32), moved.astype(np.float32)]


def _rewritten(model: Model, blobs: dict[str, Blobs], tops: dict[str, str], gone: set[str]) -> Model:
    net = type(model.net)()
    net.CopyFrom(model.net)
    del net.layer[:]
    for given in model.net.layer:
        if given.name in gone:
            continue
        layer: Any = net.layer.add()
        layer.CopyFrom(given)
        if given.name not in tops:
            continue
        layer.top[0] = tops[given.name]
        if layer.type == "BatchNorm":
            layer.type = "Scale"
            layer.ClearField("batch_norm_param")
            layer.ClearField("param")
            layer.scale_param.bias_term = True
        elif layer.type == "InnerProduct":
            layer.inner_product_param.bias_term = True
        else:
            layer.convolution_param.bias_term = True
    kinds = {layer.name: layer.type for layer in net.layer}
    layers = [
        LayerBlobs(name, kinds[name], own, [None] * len(own)) for name, own in blobs.items() if own and name in kinds
    ]
    said = f"{len(gone)} normalisations were joined into {len(tops)} layers, which no way back takes apart"
    return Model(net, layers, model.notes + [said] if tops else model.notes)


def check(original: Model, joined: Model) -> None:
    """Both nets on the same inputs. Raises ConvertError where an output differs."""
    net, other = original.borrowed(), joined.borrowed()
    inputs = random_inputs(net)
    wanted, made = (run_ours(n, inputs, {n.graph.last[name].id for name in n.outputs}) for n in (net, other))
    for name in net.outputs:
        apart = difference(wanted[net.graph.last[name].id], made[other.graph.last[name].id])
        if not apart.relative <= TOLERANCE:
            raise ConvertError(f"with the normalisations joined, output '{name}' differs: {apart}; nothing was written")
