"""Log: base e and others, scale and shift; zero and below; bases that have no logarithm."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make, run


def reference(base, scale, shift):
    return lambda bottoms, blobs: [np.log(shift + scale * bottoms[0]) / np.log(base)]


POSITIVE = np.random.default_rng(1).uniform(0.2, 3, (2, 3, 5))
OPENCV = "its reader ignores base, scale and shift"
CASES = [
    Case("default", 'type: "Log"', [POSITIVE], reference(np.e, 1, 0)),
    Case("base 10", 'type: "Log" log_param { base: 10 scale: 2 shift: 0.5 }', [POSITIVE], reference(10, 2, 0.5),
         opencv=OPENCV),
    Case("base below 1", 'type: "Log" log_param { base: 0.5 }', [POSITIVE], reference(0.5, 1, 0), opencv=OPENCV),
]
test_cases = run(CASES)


def test_zero_and_below():
    y = make(CASES[0]).layer("l")(torch.tensor([0.0, -1.0]))
    assert y[0] == -float("inf") and torch.isnan(y[1])


@pytest.mark.parametrize(("shift", "wanted"), [(0, -np.inf), (1, 0)])
def test_with_scale_0_the_bottom_does_not_matter(shift, wanted):
    layer = make(Case("l", f'type: "Log" log_param {{ scale: 0 shift: {shift} }}', [(2,)])).layer("l")
    x = torch.tensor([float("nan"), 3.0], requires_grad=True)
    y = layer(x)
    assert y.tolist() == [wanted] * 2 and not y.requires_grad


@pytest.mark.parametrize("base", [0, 1, -2])
def test_bases_without_a_logarithm(base):
    with pytest.raises(LayerError, match="base must be positive and not 1"):
        make(Case("l", f'type: "Log" log_param {{ base: {base} }}', [(2,)]))
