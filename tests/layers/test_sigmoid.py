"""Sigmoid: also where the exponential would overflow."""

import numpy as np

from tests.layers.runner import Case, run


def reference(bottoms, blobs):
    return [0.5 * np.tanh(0.5 * bottoms[0]) + 0.5]


CASES = [
    Case("default", 'type: "Sigmoid"', [(2, 3, 5, 7)], reference),
    Case("extreme", 'type: "Sigmoid"', [np.array([[-800.0, -20.0, 0.0, 20.0, 800.0]])], reference),
]
test_cases = run(CASES)
