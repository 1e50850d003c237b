"""ELU: both sides of zero, any alpha."""

import numpy as np

from tests.layers.runner import Case, run


def reference(alpha):
    return lambda bottoms, blobs: [np.where(bottoms[0] > 0, bottoms[0], alpha * np.expm1(np.minimum(bottoms[0], 0)))]


CASES = [
    Case("default", 'type: "ELU"', [(2, 3, 5, 7)], reference(1)),
    Case("alpha", 'type: "ELU" elu_param { alpha: 0.25 }', [(2, 3)], reference(0.25)),
    Case("far below zero", 'type: "ELU"', [np.array([[-100.0, -1e-3, 50.0]])], reference(1)),
]
test_cases = run(CASES)
