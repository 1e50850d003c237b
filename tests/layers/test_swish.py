"""Swish: any beta, also far from 0, where the exponential function overflows."""

import numpy as np

from tests.layers.runner import Case, run

X = np.random.default_rng(3).normal(scale=4, size=(2, 3, 5, 7))
NO_BETA = "its Swish has no beta"


def reference(beta):
    return lambda bottoms, blobs: [bottoms[0] * np.exp(-np.logaddexp(0, -beta * bottoms[0]))]


CASES = [
    Case("default", 'type: "Swish"', [X], reference(1)),
    Case("vectors", 'type: "Swish" swish_param { }', [(2, 3)], reference(1)),
    Case("beta", 'type: "Swish" swish_param { beta: 1.75 }', [X], reference(1.75), opencv=NO_BETA),
    Case("beta below 0", 'type: "Swish" swish_param { beta: -0.5 }', [(3, 4)], reference(-0.5), opencv=NO_BETA),
    Case("beta 0", 'type: "Swish" swish_param { beta: 0 }', [(3, 4)], reference(0), opencv=NO_BETA),
    Case("far", 'type: "Swish"', [np.array([-1e4, -90, -25, 0, 25, 90, 1e4])], reference(1), gradient=False),
    Case("far, beta", 'type: "Swish" swish_param { beta: 2 }', [np.array([-1e4, -90, 0, 90, 1e4])], reference(2),
         gradient=False, opencv=NO_BETA),
    Case("empty", 'type: "Swish"', [(0, 3)], reference(1), gradient=False, opencv="nothing to compute"),
]
test_cases = run(CASES)
