"""TanH: also where it saturates."""

import numpy as np

from tests.layers.runner import Case, run


def reference(bottoms, blobs):
    return [np.tanh(bottoms[0])]


CASES = [
    Case("default", 'type: "TanH"', [(2, 3, 5, 7)], reference),
    Case("extreme", 'type: "TanH"', [np.array([[-800.0, -0.5, 0.0, 1e-3, 800.0]])], reference),
]
test_cases = run(CASES)
