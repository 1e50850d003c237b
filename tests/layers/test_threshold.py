"""Threshold: a value equal to the threshold is below it; NaN too."""

import numpy as np
import torch

from tests.layers.runner import Case, make, run


def reference(threshold):
    return lambda bottoms, blobs: [(bottoms[0] > threshold).astype(float)]


OPENCV = "it has no Threshold"
CASES = [
    Case("default", 'type: "Threshold"', [(2, 3, 5)], reference(0), gradient=False, opencv=OPENCV),
    Case("at the threshold", 'type: "Threshold" threshold_param { threshold: 0.5 }', [np.array([[0.25, 0.5, 0.75]])],
         reference(0.5), gradient=False, opencv=OPENCV),
]
test_cases = run(CASES)


def test_nan_is_not_above():
    assert make(CASES[0]).layer("l")(torch.tensor([float("nan")])).item() == 0
