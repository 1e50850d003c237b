"""What the losses and the measures share about labels: their shape, their range, and a maximum that lets gradients
through.

Source: loss_layer.cpp and loss_layer.hpp of BVLC Caffe 1.0. Caffe reads labels as `static_cast<int>` of a float and
does not look whether they are classes (a release build reads whatever memory is there); here that is an error.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape

LOG_THRESHOLD = 1e-20
"""The least probability whose logarithm InfogainLoss and MultinomialLogisticLoss take (Caffe's kLOG_THRESHOLD)."""


def same_batch(layer: Layer, shapes: list[Shape]) -> None:
    """Predictions and labels must have a first axis, of one size."""
    if not shapes[0] or not shapes[1] or shapes[0][0] != shapes[1][0]:
        raise layer.shape_error(
            f"predictions {shapes[0]} and labels {shapes[1]} must have the same first dimension (the batch)"
        )


def around(layer: Layer, shape: Shape, axis: int) -> tuple[int, int, int]:
    """(outer, classes, inner): how many predictions lie before the class axis, on it, and after it."""
    axis = layer.axis(axis, len(shape))
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def one_label_each(layer: Layer, outer: int, inner: int, labels: Shape) -> None:
    if outer * inner != prod(labels):
        raise layer.shape_error(
            f"labels {labels} are {prod(labels)}, the predictions are {outer * inner} (all axes but the class axis); "
            "there must be one label a prediction"
        )


def class_labels(layer: Layer, labels: Tensor, classes: int, ignore: int | None = None) -> Tensor:
    """The labels as whole numbers, cut towards zero as C does, each a class in [0, classes) or `ignore`.

    A label out of range is a LayerError on the CPU. On CUDA nothing is read back: the device's own assertion stops it.
    """
    whole = labels.detach().long()
    if whole.device.type == "cpu" and not torch.compiler.is_compiling():
        bad = (whole < 0) | (whole >= classes)
        if ignore is not None:
            bad &= whole != ignore
        if bad.any():
            at = tuple(bad.nonzero()[0].tolist())
            hint = "" if ignore is None else f" and is not the ignore_label {ignore}"
            raise layer.error(
                f"label {labels[at].item():g} at {at} is not a class: there are {classes}, so 0 to {classes - 1}{hint}"
            )
    return whole


def ignored(param: Any) -> int | None:
    """The ignore_label of a LossParameter or AccuracyParameter; None where it is not given."""
    return param.ignore_label if param.HasField("ignore_label") else None


class _Floor(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, least: float) -> Tensor:
        return x.clamp(min=least)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def floor(x: Tensor, least: float) -> Tensor:
    """max(x, least) whose gradient is 1 everywhere: Caffe clamps in the forward pass only."""
    return _Floor.apply(x, least)
