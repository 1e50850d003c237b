"""Forks' spellings of what stock Caffe has too, in stock's own words: whoever reads a converted net knows only those.

| a fork writes | stock |
|---|---|
| pooling_param.ceil_mode | round_mode |
| convolution_param.hole, hole_h, hole_w, dilation_h, dilation_w | dilation, once or once an axis |
| dropout_param.scale_train: true | nothing: it is what Dropout does |
| NVIDIA's BatchNorm of five blobs | BatchNorm of three, then a Scale |

What stock Caffe does not have stays as it is. A fork's field would otherwise go into a binary file under a number that
stock Caffe passes over, and the net there would compute something else in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_port.layers.batch_norm import NVIDIA, NVIDIA_EPS
from caffe_port.proto import caffe_pb2
from caffe_port.proto.binary import LayerBlobs

CONVOLUTIONS = ("Convolution", "Deconvolution", "Im2col", "ConvolutionDepthwise", "DepthwiseConvolution")


def in_stock_words(net: Any, layers: list[LayerBlobs] | None) -> tuple[Any, list[LayerBlobs] | None, list[str]]:
    """The net and its weights in stock's words, and sentences about layers that became two."""
    result = caffe_pb2.NetParameter()
    result.CopyFrom(net)
    del result.layer[:]
    notes: list[str] = []
    names = {layer.name for layer in net.layer}
    weights = {layer.name: layer for layer in layers or []}
    for layer in net.layer:
        made = result.layer.add()
        made.CopyFrom(layer)
        if made.type in CONVOLUTIONS:
            _dilation(made.convolution_param)
        elif made.type == "Pooling" and made.pooling_param.HasField("ceil_mode"):
            if not made.pooling_param.ceil_mode:
                made.pooling_param.round_mode = caffe_pb2.PoolingParameter.FLOOR
            made.pooling_param.ClearField("ceil_mode")
        elif made.type == "Dropout" and made.dropout_param.HasField("scale_train") and made.dropout_param.scale_train:
            made.dropout_param.ClearField("scale_train")
        elif made.type == "BatchNorm" and _has_slope(made.batch_norm_param):
            scale = result.layer.add()
            _split(made, scale, names, weights)
            notes.append(f"layer '{made.name}' (BatchNorm with a slope and a bias) became BatchNorm and '{scale.name}'")
    if layers is None or not notes:
        return result, layers, notes
    order = [weights[layer.name] for layer in result.layer if layer.name in weights]
    return result, order, notes


def _dilation(p: Any) -> None:
    for name in ("hole", "dilation"):
        if p.HasField(f"{name}_h") or p.HasField(f"{name}_w"):
            p.dilation.extend([getattr(p, f"{name}_h") or 1, getattr(p, f"{name}_w") or 1])
    if p.HasField("hole"):
        p.dilation.append(p.hole)
    for name in ("hole", "hole_h", "hole_w", "dilation_h", "dilation_w"):
        p.ClearField(name)


def _has_slope(p: Any) -> bool:
    return p.scale_bias or p.HasField("scale_filler") or p.HasField("bias_filler")


def _split(norm: Any, scale: Any, names: set[str], weights: dict[str, LayerBlobs]) -> None:
    """Make `norm` stock's BatchNorm, and `scale` what follows it; `weights` likewise."""
    p, top = norm.batch_norm_param, norm.top[0]
    free = (f"{norm.name}_scale{i or ''}" for i in range(len(names) + 1))
    scale.name = next(name for name in free if name not in names)
    names.add(scale.name)
    scale.type = "Scale"
    scale.bottom.append(top)
    scale.top.append(top)
    scale.scale_param.bias_term = True
    for field, own in (("scale_filler", "filler"), ("bias_filler", "bias_filler")):
        if p.HasField(field):
            getattr(scale.scale_param, own).CopyFrom(getattr(p, field))
    scale.param.extend(norm.param[3:5])
    del norm.param[3:]
    p.eps = max(p.eps, NVIDIA_EPS)
    for field in NVIDIA:
        p.ClearField(field)
    given = weights.get(norm.name)
    if given is not None and len(given.blobs) == 5:
        arrays = [np.reshape(blob, -1) for blob in given.blobs]
        weights[norm.name] = LayerBlobs(norm.name, "BatchNorm", arrays[:3], [None] * 3)
        weights[scale.name] = LayerBlobs(scale.name, "Scale", arrays[3:], [None] * 2)
