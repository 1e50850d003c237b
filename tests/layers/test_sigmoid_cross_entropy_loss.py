"""SigmoidCrossEntropyLoss: every normalisation, ignored targets, its own default, soft targets, extremes."""

import numpy as np
import pytest
import torch

from tests.layers.loss_definitions import MODES, divisor, labels
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"
SOFT = np.random.default_rng(2).uniform(0, 1, (3, 5))


def reference(mode="BATCH_SIZE", ignore=None):
    def compute(bottoms, blobs):
        x, t = bottoms[0], bottoms[1].reshape(bottoms[0].shape)
        keep = np.ones(x.shape, bool) if ignore is None else np.trunc(t) != ignore
        cost = t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
        return [np.array((cost * keep).sum() / divisor(mode, x.shape[0], x.size, keep.sum()))]

    return compute


def case(name, options, scores, targets, ref, gradient=True):
    text = f'type: "SigmoidCrossEntropyLoss" {options}'
    return Case(name, text, [scores, targets], ref, gradient=gradient, onnx=LOSS, opencv=LOSS)


CASES = [
    case("default", "", (3, 5), labels((3, 5), 2), reference()),
    case("soft targets", "", (3, 5), SOFT, reference()),
    case("targets of another shape", "", (3, 5, 2), labels((3, 10), 2), reference()),
    case("one axis", "", (6,), labels((6,), 2), reference()),
    case("extreme", "", np.array([[200.0, -200.0, 0.0], [-90.0, 90.0, 1e4]]), labels((2, 3), 2), reference()),
    case("old true", "loss_param { normalize: true }", (3, 5), labels((3, 5), 2), reference("VALID")),
    case("old false", "loss_param { normalize: false }", (3, 5), labels((3, 5), 2), reference("BATCH_SIZE")),
    case("all ignored", "loss_param { ignore_label: 1 normalization: VALID }", (3, 5), np.ones((3, 5)),
         reference("VALID", 1)),
    case("fractions cut to the ignored label", "loss_param { ignore_label: 0 }", (3, 5), 2 * SOFT, reference(ignore=0)),
    case("empty batch", "", (0, 5), np.zeros((0, 5)), lambda bottoms, blobs: [np.zeros(())], gradient=False),
    *(case(f"{mode} ignore", f"loss_param {{ normalization: {mode} ignore_label: -1 }}", (3, 5), labels((3, 5), 2, -1),
           reference(mode, -1)) for mode in MODES),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "SigmoidCrossEntropyLoss"', [(3, 5), (3, 4)], 1, "same count"),
    ('type: "SigmoidCrossEntropyLoss"', [(3, 5), (5, 3)], 1, "same first dimension"),
])


def test_the_gradient_is_sigmoid_minus_target_at_zero_too():
    layer = make(Case("l", 'type: "SigmoidCrossEntropyLoss"', [(2, 2), (2, 2)])).layer("l")
    x = torch.zeros(2, 2, requires_grad=True)
    layer(x, torch.tensor([[0.0, 1.0], [0.25, -3.0]])).backward()
    assert x.grad.flatten().tolist() == [pytest.approx(g / 2) for g in (0.5, -0.5, 0.25, 3.5)]
