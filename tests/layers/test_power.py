"""Power: its special cases (power 0, 1, 2, scale 0), whole and broken powers of negative bases."""

import numpy as np
import torch

from tests.layers.runner import Case, make, run


def reference(power, scale, shift):
    def y(bottoms, blobs):
        with np.errstate(invalid="ignore"):
            return [(shift + scale * bottoms[0]) ** power]

    return y


def case(name, power, scale, shift, bottom=(2, 3, 5), **more):
    layer = f'type: "Power" power_param {{ power: {power} scale: {scale} shift: {shift} }}'
    return Case(name, layer, [bottom], reference(power, scale, shift), **more)


POSITIVE = np.random.default_rng(1).uniform(0.2, 3, (2, 7))
CASES = [
    Case("identity", 'type: "Power"', [(2, 3, 5, 7)], reference(1, 1, 0)),
    case("affine", 1, 0.5, -2),
    case("square", 2, 0.5, 1),
    case("cube of negatives", 3, -1.5, 0.25),
    case("root", 0.5, 2, 0.5, POSITIVE),
    case("inverse", -1, 1, 0, POSITIVE),
    case("power 0", 0, 2, 3),
    case("scale 0", 2, 0, 3),
]
test_cases = run(CASES)


def test_a_negative_base_to_a_broken_power_is_nan():
    assert torch.isnan(make(case("l", 0.37, 1, 0)).layer("l")(torch.tensor([-2.0]))).all()


def test_where_the_bottom_does_not_matter_nan_does_not_either():
    assert make(case("l", 0, 1, 0)).layer("l")(torch.tensor([float("nan")])).item() == 1


def test_the_square_has_derivative_zero_at_zero():
    x = torch.zeros(1, requires_grad=True)
    make(case("l", 3, 1, 0)).layer("l")(x).backward()
    assert x.grad.item() == 0
