"""ContrastiveLoss: both versions inside and outside the margin; Caffe's own gradient, which is not the derivative."""

import numpy as np
import pytest
import torch

from tests.layers.loss_definitions import labels
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"
OWN = "Caffe's gradient divides by d + 1e-4; see the test below"


def reference(margin=1.0, legacy=False):
    def compute(bottoms, blobs):
        a, b, alike = bottoms
        squared = ((a - b).reshape(len(a), -1) ** 2).sum(1)
        apart = np.maximum(margin - squared, 0) if legacy else np.maximum(margin - np.sqrt(squared), 0) ** 2
        return [np.array(np.where(alike.ravel() != 0, squared, apart).sum() / len(a) / 2)]

    return compute


def case(name, options, shape, alike, ref, gradient=False):
    return Case(name, f'type: "ContrastiveLoss" contrastive_loss_param {{ {options} }}', [shape, shape, alike], ref,
                gradient=gradient, onnx=LOSS, opencv=LOSS)


CASES = [
    case("default", "", (6, 4), labels((6,), 2), reference()),
    case("margin", "margin: 4", (6, 4), labels((6,), 2), reference(4)),
    case("four axes", "margin: 4", (6, 4, 1, 1), labels((6, 1, 1, 1), 2), reference(4)),
    case("similar", "", (6, 4), np.ones(6), reference(), gradient=True),
    case("legacy", "margin: 9 legacy_version: true", (6, 4), labels((6,), 2), reference(9, True), gradient=True),
    case("one channel", "margin: 2", (6,), labels((6,), 2), reference(2)),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "ContrastiveLoss"', [(3, 4), (3, 5), (3,)], 1, "the same C"),
    ('type: "ContrastiveLoss"', [(3, 4, 2), (3, 4, 2), (3,)], 1, "N x C"),
    ('type: "ContrastiveLoss"', [(3, 4), (3, 4), (3, 2)], 1, "one a pair"),
    ('type: "ContrastiveLoss"', [(3, 4), (2, 4), (3,)], 1, "same first dimension"),
])


@pytest.mark.parametrize("distance", [0.0, 1e-4, 0.5, 3.0])
def test_the_gradient_of_a_dissimilar_pair(distance):
    layer = make(Case("l", CASES[1].layer, [(2, 1), (2, 1), (2,)])).layer("l").double()
    a = torch.tensor([[distance], [7.0]], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    layer(a, b, torch.zeros(2)).backward()
    wanted = -(4 - distance) / (distance + 1e-4) * distance / 2
    assert a.grad[0].item() == pytest.approx(wanted) and b.grad[0].item() == pytest.approx(-wanted)
    assert a.grad[1].item() == 0  # outside the margin
