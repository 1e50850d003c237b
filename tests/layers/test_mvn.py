"""MVN: per plane and across channels, with and without variance; the top's four axes; Caffe's gradient."""

import numpy as np
import pytest
import torch

from caffe_port.errors import ShapeError
from tests.layers.runner import Case, make, run


def reference(axes=(2, 3), eps=1e-9, variance=True):
    def tops(bottoms, blobs):
        x = bottoms[0].reshape(bottoms[0].shape + (1,) * (4 - bottoms[0].ndim))
        y = x - x.mean(axes, keepdims=True)
        return [y / (np.sqrt((y**2).mean(axes, keepdims=True)) + eps) if variance else y]

    return tops


def case(name, options, bottom, found, **more):
    return Case(name, f'type: "MVN" mvn_param {{ {options} }}', [bottom], found, **more)


CASES = [
    case("default", "", (2, 3, 5, 7), reference()),
    case("across", "across_channels: true", (2, 3, 5, 4), reference((1, 2, 3))),
    case("mean only", "normalize_variance: false", (2, 3, 5, 4), reference(variance=False)),
    case("mean only, across", "normalize_variance: false across_channels: true", (2, 3, 5, 4),
         reference((1, 2, 3), variance=False)),
    case("eps", "eps: 0.1", (2, 3, 5, 7), reference(eps=0.1), gradient=False, opencv="it has eps under the root"),
    case("three axes", "", (2, 3, 5), reference()),
]
test_cases = run(CASES)


def test_the_gradient_is_caffes_and_not_the_derivative():
    rng = np.random.default_rng(2)
    data, dy = rng.normal(size=(2, 2, 3, 5, 7))
    x = torch.tensor(data, requires_grad=True)
    make(CASES[4]).layer("l")(x).backward(torch.tensor(dy))
    eps = make(CASES[4]).layer("l").param.mvn_param.eps
    deviation = data.std((2, 3), keepdims=True) + eps
    y = (data - data.mean((2, 3), keepdims=True)) / deviation
    want = (dy - dy.mean((2, 3), keepdims=True) - y * (dy * y).mean((2, 3), keepdims=True)) / deviation
    np.testing.assert_allclose(x.grad, want, rtol=1e-10, atol=1e-12)


def test_a_constant_plane_is_zero_and_its_gradient_finite():
    x = torch.full((1, 1, 2, 3), 5.0, requires_grad=True)
    y = make(CASES[4]).layer("l")(x)
    y.sum().backward()
    assert (y == 0).all() and torch.isfinite(x.grad).all()


def test_at_most_four_axes():
    with pytest.raises(ShapeError, match="at most 4 axes"):
        make(case("l", "", (2, 3, 4, 5, 6), None))
