"""Eltwise: the three operations on two and more bottoms, coefficients, both product gradients, ties and NaN of MAX."""

from functools import reduce

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

SHAPE = (2, 3, 5, 7)


def weighted(*coeff):
    return lambda bottoms, blobs: [sum(c * x for c, x in zip(coeff, bottoms, strict=True))]


def product(bottoms, blobs):
    return [reduce(np.multiply, bottoms)]


def largest(bottoms, blobs):
    return [reduce(np.maximum, bottoms)]


def case(options, bottoms, ref, **more):
    text = f'type: "Eltwise" eltwise_param {{ {options} }}'
    return Case(f"{options or 'sum'} of {bottoms}", text, [SHAPE] * bottoms, ref, **more)


CASES = [
    case("", 2, weighted(1, 1)),
    case("", 4, weighted(1, 1, 1, 1)),
    case("coeff: 1 coeff: -1", 2, weighted(1, -1)),
    case("coeff: 0.5 coeff: 0 coeff: 3", 3, weighted(0.5, 0, 3)),
    case("coeff: -20", 1, weighted(-20), opencv="it wants two bottoms"),
    case("operation: PROD", 2, product),
    case("operation: PROD", 3, product),
    case("operation: PROD stable_prod_grad: false", 3, product),
    case("operation: MAX", 2, largest),
    case("operation: MAX", 3, largest),
    case("operation: MAX coeff: 2 coeff: 2", 2, largest, opencv="it refuses coefficients of MAX"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Eltwise"', [(2, 3), (2, 1)], 1, "all must have one shape"),
    ('type: "Eltwise"', [(2, 3)], 1, "at least 2 bottom"),
    ('type: "Eltwise" eltwise_param { operation: MAX }', [(2, 3)], 1, "at least 2 bottom"),
    ('type: "Eltwise" eltwise_param { coeff: 1 }', [(2, 3), (2, 3)], 1, "1 coefficients for 2 bottoms"),
    ('type: "Eltwise" eltwise_param { operation: PROD coeff: 1 coeff: 2 }', [(2, 3), (2, 3)], 1, "not for PROD"),
])


@pytest.mark.parametrize("operation", ["SUM", "MAX"])
def test_in_place_loses_a_bottom_in_caffe(operation):
    layer = make(Case("l", f'type: "Eltwise" eltwise_param {{ operation: {operation} }}', [(2,)] * 2)).layer("l")
    layer.param.top[0] = layer.param.bottom[0]
    with pytest.raises(LayerError, match="layer 'l' .*Caffe loses that bottom; name the top differently"):
        layer.setup([(2,), (2,)])


def gradients(options, *values):
    text = f'type: "Eltwise" eltwise_param {{ {options} }}'
    layer = make(Case("l", text, [(len(values[0]),)] * len(values))).layer("l")
    bottoms = [torch.tensor(v, requires_grad=True) for v in values]
    top = layer(*bottoms)
    top.sum().backward()
    return top.tolist(), [b.grad.tolist() for b in bottoms]


def test_one_bottom_wins_a_tie():
    _, (a, b, c) = gradients("operation: MAX", [1.0, 1.0, 2.0], [1.0, 0.0, 2.0], [1.0, 1.0, 3.0])
    assert (a, b, c) == ([0, 1, 0], [1, 0, 0], [0, 0, 1])


def test_a_nan_in_max_gives_way():
    nan = float("nan")
    top, _ = gradients("operation: MAX", [nan, 1.0, 1.0], [1.0, nan, 0.0], [0.0, 0.0, nan])
    assert top[0] == 1 and np.isnan(top[1]) and top[2] == 1


@pytest.mark.parametrize(("stable", "wanted"), [("true", [3, 0]), ("false", [float("nan"), 0])])
def test_the_unstable_gradient_divides_by_the_factor(stable, wanted):
    _, (a, b) = gradients(f"operation: PROD stable_prod_grad: {stable}", [0.0], [3.0])
    assert np.array_equal([a[0], b[0]], wanted, equal_nan=True)
