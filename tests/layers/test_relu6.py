"""ReLU6: both ends, their gradients, the slope."""

import numpy as np
import pytest
import torch

from tests.layers.runner import Case, make, run

X = np.random.default_rng(3).normal(scale=6, size=(2, 3, 4, 5))


def reference(slope=0.0):
    def tops(bottoms, blobs):
        x = bottoms[0]
        return [np.minimum(np.where(x < 0, slope * x if slope else 0, x), 6)]

    return tops


SLOPE = "its layer of this name has no slope"
CASES = [
    Case("plain", 'type: "ReLU6"', [X], reference()),
    Case("a vector", 'type: "ReLU6"', [X.ravel()[:7]], reference()),
    Case("slope", 'type: "ReLU6" relu6_param { negative_slope: 0.25 }', [X], reference(0.25), opencv=SLOPE),
    Case("negative slope", 'type: "ReLU6" relu6_param { negative_slope: -2 }', [X], reference(-2), opencv=SLOPE),
    Case("special numbers", 'type: "ReLU6"', [np.array([np.nan, np.inf, -np.inf, 0, 6])], reference(), gradient=False,
         onnx=True, opencv="it has its own ideas about NaN"),
]
test_cases = run(CASES)


@pytest.mark.parametrize(("options", "slope"), [("", 0), ("relu6_param { negative_slope: 0.5 }", 0.5)])
def test_gradient_at_the_ends(options, slope):
    layer = make(Case("l", f'type: "ReLU6" {options}', [(4,)])).layer("l")
    x = torch.tensor([-1.0, 0.0, 1.0, 6.0], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [slope, slope, 1, 0]
