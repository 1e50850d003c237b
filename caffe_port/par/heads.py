"""The paper's heads: attributes by global average pooling, segmentation by deconvolution, attention between the two.

Each is a function that appends to a NetBuilder; `number` is the stage (1 behind block 3d, 2 behind block 4f).
"""

from __future__ import annotations

import json
from math import ceil
from typing import Any

from caffe_port.par.builder import NetBuilder
from caffe_port.par.settings import Settings

XAVIER = {"type": "xavier"}
STRIDE = {1: 8, 2: 16}
"""Input pixels per step of the feature maps of block 3d and of block 4f."""


def attribute_maps(net: NetBuilder, number: int, bottom: str, attributes: int) -> str:
    """One activation map per attribute: a 1x1 convolution. These are the maps of figure 5."""
    multipliers = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
    return net.conv(f"par{number}_map", bottom, attributes, 1, param=multipliers, weight_filler=XAVIER)


def attribute_logits(net: NetBuilder, number: int, maps: str) -> str:
    """Global average pooling, which lets the input have any size, and Flatten to batch x attributes."""
    pooled = net.pool(f"par{number}_gap", maps, pool="AVE", global_pooling=True)
    return net.add("Flatten", f"par{number}_logit", pooled)


def attention(net: NetBuilder, x1: str, x2: str, attributes: int) -> str:
    """Equations 6 and 7: y = b + w * x2 with w = ReLU(conv(x1)), b = conv(x1), x1 convolved to x2's size.

    Start: w's bias is 1 and b's is 0, so that y is near x2 before anything is learned.
    """
    down = net.conv("att_down", x1, attributes, 3, stride=2, pad=1, weight_filler=XAVIER)
    net.relu(down)
    one = {"type": "constant", "value": 1}
    w = net.relu(net.conv("att_w", down, attributes, 1, weight_filler=XAVIER, bias_filler=one))
    b = net.conv("att_b", down, attributes, 1, weight_filler=XAVIER)
    weighted = net.add("Eltwise", "att_wx", [w, x2], eltwise_param={"operation": "PROD"})
    return net.add("Eltwise", "att_y", [b, weighted])


def feature_size(pixels: int, stride: int) -> int:
    """Steps of maps of stride 8 (block 3d), 16 (4f) or 32: conv1 rounds up, the pooling down, the rest up.

    >>> feature_size(256, 8), feature_size(250, 8), feature_size(250, 16)
    (32, 31, 16)
    """
    after_pool = ceil(pixels / 2) // 2
    return ceil(after_pool / (stride // 4))


def segmentation_scores(net: NetBuilder, number: int, bottom: str, settings: Settings) -> str:
    """Class scores at the input's size: a 1x1 convolution, upsampled."""
    score = net.conv(f"seg{number}_score", bottom, settings.classes, 1, weight_filler=XAVIER)
    return upsampled(net, f"seg{number}", score, settings.classes, STRIDE[number], settings.size)


def upsampled(net: NetBuilder, name: str, score: str, classes: int, stride: int, size: tuple[int, int]) -> str:
    """Scores of stride `stride` at the input's size: a fixed bilinear deconvolution, cropped where needed.

    A deconvolution of kernel 2s, stride s, pad s/2 gives s times the map. Where s does not divide the input that is
    larger than the input, or up to 2 pixels smaller, because the pooling rounds down; the pad is then 2 less all around
    and the crop starts at 2, which leaves every pixel in its place.
    """
    made = [stride * feature_size(pixels, stride) for pixels in size]
    short = any(m < pixels for m, pixels in zip(made, size, strict=True))
    margin = 2 if short else 0
    up = net.conv(
        f"{name}_up", score, classes, 2 * stride, type="Deconvolution", stride=stride, pad=stride // 2 - margin,
        group=classes, bias_term=False, weight_filler={"type": "bilinear"}, param=[{"lr_mult": 0, "decay_mult": 0}],
    )  # fmt: skip
    if made == list(size):
        return up
    return net.add("Crop", f"{name}_crop", [up, "data"], crop_param={"axis": 2, "offset": [margin, margin]})


def loss(net: NetBuilder, settings: Settings, task: str, number: int, blob: str) -> None:
    """The loss of one task ("par" on logits, "seg" on scores) of head `number`, with its lambda.

    A lambda that differs between the trainings makes two layers of one name, of which the solver's `stage` picks one;
    without any stage the joint training's stands.
    """
    weights = settings.weights_of(task, number)
    rules = {"stage1": {"include": [{"stage": ["stage1"]}]}, "joint": {"exclude": [{"stage": ["stage1"]}]}}
    write = attribute_loss if task == "par" else segmentation_loss
    if len(set(weights.values())) == 1:
        write(net, number, blob, settings, loss_weight=[weights["joint"]])
        return
    for stage, weight in weights.items():
        write(net, number, blob, settings, loss_weight=[weight], **rules[stage])


def probability(net: NetBuilder, task: str, number: int, blob: str) -> None:
    """How the deploy net ends instead: sigmoid for attributes, softmax over classes for pixels."""
    net.add("Sigmoid" if task == "par" else "Softmax", f"{task}{number}_prob", blob)


def attribute_loss(net: NetBuilder, number: int, logits: str, settings: Settings, **fields) -> None:
    """Equation 1, or 2 as our own layer or as the Python layer beside the prototxts."""
    name, bottoms = f"par{number}_loss", [logits, "attr_flat"]
    ignore = {} if settings.ignore_label is None else {"ignore_label": settings.ignore_label}
    rates = {"source": settings.rates_path}
    if settings.python_loss:
        python = {
            "module": "weighted_loss",
            "layer": "WeightedSigmoidCrossEntropyLossLayer",
            "param_str": json.dumps({**rates, **ignore}),
        }
        net.add("Python", name, bottoms, python_param=python, **fields)
    elif settings.loss == "weighted":
        fields["weighted_sigmoid_cross_entropy_loss_param"] = rates
        net.add("WeightedSigmoidCrossEntropyLoss", name, bottoms, loss_param=ignore, **fields)
    else:
        net.add("SigmoidCrossEntropyLoss", name, bottoms, loss_param=ignore, **fields)


def segmentation_loss(net: NetBuilder, number: int, scores: str, settings: Settings, **fields) -> None:
    """Equation 3, summed over pixels and averaged over the batch, as lambda = 1.5e-4 wants."""
    loss: dict[str, Any] = {"normalize": False}
    if settings.ignore_label is not None:
        loss["ignore_label"] = settings.ignore_label
    net.add("SoftmaxWithLoss", f"seg{number}_loss", [scores, "seg"], loss_param=loss, **fields)
