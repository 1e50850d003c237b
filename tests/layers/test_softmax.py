"""Softmax along every kind of axis; large, equal, infinite and NaN values."""

import numpy as np
import torch

from tests.layers.loss_definitions import softmax
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run


def reference(axis):
    return lambda bottoms, blobs: [softmax(bottoms[0], axis)]


CASES = [
    Case("default axis", 'type: "Softmax"', [(2, 3, 5, 7)], reference(1)),
    Case("axis 0", 'type: "Softmax" softmax_param { axis: 0 }', [(2, 3, 5)], reference(0)),
    Case("last axis", 'type: "Softmax" softmax_param { axis: -1 }', [(2, 3, 5, 7)], reference(-1)),
    Case("axis 2", 'type: "Softmax" softmax_param { axis: 2 engine: CUDNN }', [(2, 3, 5, 7)], reference(2)),
    Case("large", 'type: "Softmax"', [np.array([[1e4, 1e4 - 1, -1e4], [0.0, 0.0, 0.0]])], reference(1)),
    Case("one class", 'type: "Softmax"', [(3, 1, 2)], reference(1)),
    Case("empty batch", 'type: "Softmax"', [(0, 3)], lambda bottoms, blobs: [bottoms[0]], gradient=False,
         opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([('type: "Softmax" softmax_param { axis: 2 }', [(2, 3)], 1, "axis 2 is out of range")])


def test_nan_and_infinity_spoil_their_own_softmax_only():
    layer = make(Case("l", 'type: "Softmax"', [(3, 2)])).layer("l")
    y = layer(torch.tensor([[float("nan"), 0.0], [float("inf"), 0.0], [0.0, 0.0]]))
    assert torch.isnan(y[:2]).all() and y[2].tolist() == [0.5, 0.5]
