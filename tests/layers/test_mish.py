"""Mish, also far from 0, where the exponential function overflows."""

import numpy as np

from tests.layers.runner import Case, run

X = np.random.default_rng(3).normal(scale=4, size=(2, 3, 4, 5))


def reference(bottoms, blobs):
    return [bottoms[0] * np.tanh(np.logaddexp(0, bottoms[0]))]


CASES = [
    Case("picture", 'type: "Mish"', [X], reference),
    Case("far", 'type: "Mish"', [np.array([-1e4, -90, -25, 0, 25, 90, 1e4])], reference, gradient=False),
]
test_cases = run(CASES)
