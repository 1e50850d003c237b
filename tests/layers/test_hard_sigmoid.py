"""HardSigmoid: the slopes of two schools, the option under two names."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = np.random.default_rng(3).normal(scale=4, size=(2, 3, 4, 5))


def reference(alpha=0.2, beta=0.5):
    return lambda bottoms, blobs: [np.clip(np.float32(alpha) * bottoms[0] + np.float32(beta), 0, 1)]


def case(name, options, found):
    return Case(name, f'type: "HardSigmoid" {options}', [X], found)


CASES = [
    Case("plain", 'type: "HardSigmoid"', [X], reference()),
    case("a sixth", "hard_sigmoid_param { alpha: 0.16666667 }", reference(1 / 6)),
    case("the other name", "hardsigmoid_param { alpha: 0.5 beta: 0.25 }", reference(0.5, 0.25)),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "HardSigmoid" hard_sigmoid_param { alpha: 1 } hardsigmoid_param { alpha: 1 }', [X], 1, "keep one"),
])
