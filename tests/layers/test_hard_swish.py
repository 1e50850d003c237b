"""HardSwish."""

import numpy as np

from tests.layers.runner import Case, run

X = np.random.default_rng(3).normal(scale=4, size=(2, 3, 4, 5))


def reference(bottoms, blobs):
    return [bottoms[0] * np.clip(bottoms[0] + 3, 0, 6) / 6]


CASES = [
    Case("picture", 'type: "HardSwish"', [X], reference),
    Case("vectors", 'type: "HardSwish"', [X[:, :, 0, 0]], reference),
    Case("empty", 'type: "HardSwish"', [(0, 3)], reference, gradient=False, opencv="nothing to compute"),
]
test_cases = run(CASES)
