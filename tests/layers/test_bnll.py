"""BNLL: accurate in float64 past torch's own threshold of 20, and stable far out."""

import numpy as np

from tests.layers.runner import Case, run


def reference(bottoms, blobs):
    return [np.logaddexp(bottoms[0], 0)]


CASES = [
    Case("default", 'type: "BNLL"', [(2, 3, 5, 7)], reference),
    Case("past 20", 'type: "BNLL"', [np.array([[-25.0, 21.0, 25.0, 30.0]])], reference, tolerance=1e-14),
    Case("far out", 'type: "BNLL"', [np.array([[-700.0, -60.0, 49.0, 60.0, 700.0]])], reference),
]
test_cases = run(CASES)
