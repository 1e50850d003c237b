"""Clip: both ends included in the gradient; min > max; a missing end."""

import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError
from tests.layers.runner import Case, make, run


def reference(low, high):
    return lambda bottoms, blobs: [np.maximum(low, np.minimum(bottoms[0], high))]


CASES = [
    Case("range", 'type: "Clip" clip_param { min: -0.5 max: 0.75 }', [(2, 3, 5, 7)], reference(-0.5, 0.75),
         opencv="its Caffe reader has no Clip"),
    Case("crossed", 'type: "Clip" clip_param { min: 0.5 max: -0.5 }', [(2, 5)], reference(0.5, -0.5), gradient=False,
         opencv="its Caffe reader has no Clip"),
]
test_cases = run(CASES)


def test_the_gradient_passes_at_both_ends():
    x = torch.tensor([-0.5, 0.75, 0.76], requires_grad=True)
    make(CASES[0]).layer("l")(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_in_place_every_gradient_passes():
    """Caffe's backward compares the values that stand in the blob, which are clipped by then (clip_layer.cpp:25-41)."""
    layer = make(Case("l", 'type: "Clip" clip_param { min: -0.5 max: 0.75 }', [(3,)])).layer("l")
    layer.param.top[0] = layer.param.bottom[0]
    x = torch.tensor([-0.6, 0.1, 0.76], requires_grad=True)
    y = layer(x)
    y.backward(torch.tensor([2.0, 3.0, 4.0]))
    np.testing.assert_allclose(y.detach(), [-0.5, 0.1, 0.75])
    assert x.grad.tolist() == [2.0, 3.0, 4.0]


def test_both_ends_are_required():
    with pytest.raises(CaffeError, match="max"):
        make(Case("l", 'type: "Clip" clip_param { min: 0 }', [(2,)]))
