"""Predictions and labels for the tests of YOLO's losses, and overlaps of boxes by hand."""

from __future__ import annotations

import numpy as np
import torch

from tests.layers.runner import Case, close, feed, inputs, make, outputs


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def iou(a, b):
    """Of boxes (x, y, w, h)."""
    spans = [min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2) - max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2)
             for k in (0, 1)]  # fmt: skip
    both = spans[0] * spans[1] if min(spans) > 0 else 0
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def labels(images, most=6):
    found = np.zeros((len(images), 1, most, 5))
    for i, rows in enumerate(images):
        found[i, 0, : len(rows)] = np.array(rows, float).reshape(-1, 5)
    return found


def predictions(shape, seed=3):
    return (np.random.default_rng(seed).normal(size=shape) * 0.7).astype(np.float32).astype(float)


def check_gradient(case: Case, wanted) -> None:
    """The diff that a loss weight of 3 leaves in the predictions is 3 times what the definition says."""
    net = make(case).double()
    bottoms = {name: value.requires_grad_(name == "b0") for name, value in feed(case, torch.float64).items()}
    (3 * outputs(net, bottoms)[0]).backward()
    close(bottoms["b0"].grad.numpy(), 3 * wanted(*inputs(case)), 1e-9, "gradient", case)
