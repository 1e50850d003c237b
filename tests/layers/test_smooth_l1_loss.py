"""SmoothL1Loss: both branches, sigma, inside and outside weights."""

import numpy as np
import pytest

from caffe_port.errors import UnsupportedError
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"


def reference(sigma=1.0):
    def tops(bottoms, blobs):
        a, b, inside, outside = (bottoms + [np.ones_like(bottoms[0])] * 2)[:4]
        x = inside.reshape(a.shape) * (a - b.reshape(a.shape))
        cost = np.where(abs(x) < 1 / sigma**2, (sigma * x) ** 2 / 2, abs(x) - 0.5 / sigma**2)
        return [np.array((outside.reshape(a.shape) * cost).sum() / max(1, len(a)))]

    return tops


def case(name, bottoms, sigma=None, **more):
    option = f"smooth_l1_loss_param {{ sigma: {sigma} }}" if sigma else ""
    more.update(onnx=LOSS, opencv=LOSS)
    return Case(name, f'type: "SmoothL1Loss" {option}', bottoms, reference(sigma or 1.0), **more)


X = (3, 4, 1, 5)
CASES = [
    case("plain", [X, X]),
    case("sigma", [X, X], 3.0),
    case("inside weights", [X, X, X]),
    case("all weights", [X, X, X, X], 3.0),
    case("ones at the end", [(3, 5), (3, 5, 1, 1), (3, 5), (3, 5, 1, 1)], 2.0),
    case("vectors", [(6,), (6,)]),
    case("empty batch", [(0, 8), (0, 8)], gradient=False),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "SmoothL1Loss"', [X, (3, 4, 5, 1)], 1, "shape of the first"),
    ('type: "SmoothL1Loss"', [X, X, (3, 4)], 1, "shape of the first"),
    ('type: "SmoothL1Loss"', [(), ()], 1, "first axis"),
    ('type: "SmoothL1Loss" smooth_l1_loss_param { sigma: 0 }', [X, X], 1, "sigma must be positive"),
    ('type: "SmoothL1Loss"', [X], 1, "takes 2 to 4 bottom"),
])


@pytest.mark.parametrize("option", ["normalization: FULL", "normalization: VALID", "normalize: true"])
def test_a_normalisation_about_which_forks_disagree(option):
    with pytest.raises(UnsupportedError, match="layer 'l'.*forks disagree"):
        make(Case("l", f'type: "SmoothL1Loss" loss_param {{ {option} }}', [X, X]))


def test_the_normalisation_that_all_have():
    make(Case("l", 'type: "SmoothL1Loss" loss_param { normalization: BATCH_SIZE }', [X, X]))
