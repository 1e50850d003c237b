"""SigmoidWeightedCrossEntropyLoss: the plain value, and the gradient of the weighted loss."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

RNG = np.random.default_rng(8)
TARGETS = RNG.integers(0, 2, (4, 3)).astype(float)
WEIGHTS = RNG.uniform(0.1, 0.9, (4, 3))
TEXT = 'type: "SigmoidWeightedCrossEntropyLoss"'


def reference(bottoms, blobs):
    x, t, _ = bottoms
    t = t.reshape(x.shape)
    return [(t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)).sum() / len(x)]


def case(name, *bottoms):
    return Case(name, TEXT, bottoms, reference, gradient=False, onnx="a loss", opencv="a loss", phase="TRAIN")


CASES = [
    case("vectors", (4, 3), TARGETS, WEIGHTS),
    case("other shapes", (4, 3, 1, 1), TARGETS, WEIGHTS),
    case("soft targets", (4, 3), TARGETS * 0.9, WEIGHTS),
    case("far scores", np.array([[-300.0, 200]]), np.array([[1.0, 1]]), np.array([[0.5, 0.5]])),
]
test_cases = run(CASES)
test_refused = refusals([
    (TEXT, [(4, 3), (4, 3)], 1, "takes 3 bottom"),
    (TEXT, [(4, 3), (4, 2), (4, 3)], 1, r"targets \(4, 2\) must have the same count"),
    (TEXT, [(4, 3), (4, 3), (4, 2)], 1, r"weights \(4, 2\) must have the same count"),
])


def test_the_gradient_is_that_of_the_weighted_loss():
    x = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    t, w = torch.tensor(TARGETS), torch.tensor(WEIGHTS)
    weighted = -(t * x.sigmoid().log() / (2 * w) + (1 - t) * (1 - x.sigmoid()).log() / (2 * (1 - w))).sum() / 4
    (want,) = torch.autograd.grad(3 * weighted, x)
    (3 * make(CASES[0]).layer("l")(x, t, w)).backward()
    assert torch.allclose(x.grad, want)
