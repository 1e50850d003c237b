"""ReLU: slope zero, positive and negative; NaN; the derivative at zero."""

import numpy as np
import torch

from tests.layers.runner import Case, make, run


def reference(slope):
    return lambda bottoms, blobs: [np.where(bottoms[0] > 0, bottoms[0], slope * bottoms[0])]


CASES = [
    Case("plain", 'type: "ReLU"', [(2, 3, 5, 7)], reference(0.0)),
    Case("leaky", 'type: "ReLU" relu_param { negative_slope: 0.25 }', [(2, 3, 5)], reference(0.25)),
    Case("negative slope", 'type: "ReLU" relu_param { negative_slope: -0.5 }', [(4, 3)], reference(-0.5)),
    Case("empty", 'type: "ReLU"', [(0, 3)], reference(0.0), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)


def test_nan_stays_nan_and_the_derivative_at_zero_is_the_slope():
    layer = make(Case("l", 'type: "ReLU" relu_param { negative_slope: 0.25 }', [(3,)])).layer("l")
    x = torch.tensor([float("nan"), 0.0, 2.0], requires_grad=True)
    y = layer(x)
    assert torch.isnan(y[0]) and y[2] == 2
    y[1:].sum().backward()
    assert x.grad[1:].tolist() == [0.25, 1.0]
