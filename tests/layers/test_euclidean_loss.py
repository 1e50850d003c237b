"""EuclideanLoss: both gradients, blobs of other shapes but the same count, the empty batch."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"


def reference(bottoms, blobs):
    a, b = bottoms
    return [np.array(((a - b.reshape(a.shape)) ** 2).sum() / a.shape[0] / 2)]


CASES = [
    Case("plain", 'type: "EuclideanLoss"', [(3, 4), (3, 4)], reference, onnx=LOSS, opencv=LOSS),
    Case("four axes", 'type: "EuclideanLoss"', [(2, 3, 5, 7), (2, 3, 5, 7)], reference, onnx=LOSS, opencv=LOSS),
    Case("other shape", 'type: "EuclideanLoss"', [(2, 3, 4), (2, 12)], reference, onnx=LOSS, opencv=LOSS),
    Case("one axis", 'type: "EuclideanLoss"', [(5,), (5, 1)], reference, onnx=LOSS, opencv=LOSS),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "EuclideanLoss"', [(3, 4), (3, 5)], 1, "same count"),
    ('type: "EuclideanLoss"', [(3, 4), (4, 3)], 1, "same first dimension"),
])


def test_an_empty_batch_has_no_mean():
    layer = make(Case("l", 'type: "EuclideanLoss"', [(0, 4), (0, 4)])).layer("l")
    assert torch.isnan(layer(torch.zeros(0, 4), torch.zeros(0, 4)))
