"""FocalLoss: alpha, gamma, the axis, what is ignored, what the sum is divided by; certainty."""

import numpy as np
import pytest
import torch

from tests.layers.loss_definitions import divisor, labels, rows, softmax
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

X = (2, 4, 3, 2)


def reference(alpha=0.25, gamma=2.0, axis=1, mode="VALID", ignore=None, second=False):
    def tops(bottoms, blobs):
        scores, wanted = bottoms[0], bottoms[1].astype(int).ravel()
        p = rows(softmax(scores, axis), axis)
        keep = np.ones(len(wanted), bool) if ignore is None else wanted != ignore
        own = p[keep, wanted[keep]]
        total = -(alpha * (1 - own) ** gamma * np.log(own)).sum()
        outer = int(np.prod(scores.shape[:axis]))
        loss = [total / divisor(mode, outer, len(wanted), int(keep.sum()))]
        return [*loss, softmax(scores, axis)] if second else loss

    return tops


def case(name, options, found, bottoms=None, **more):
    bottoms = bottoms or [X, labels((2, 1, 3, 2), 4)]
    return Case(name, f'type: "FocalLoss" {options}', bottoms, found, onnx="a loss", opencv="a loss", **more)


CASES = [
    case("plain", "", reference()),
    case("vectors", "", reference(), [(5, 3), labels((5,), 3)]),
    case("alpha, gamma", "focal_loss_param { alpha: 0.75 gamma: 3.5 }", reference(0.75, 3.5)),
    case("gamma 0", "focal_loss_param { gamma: 0 }", reference(gamma=0)),
    case("axis", "softmax_param { axis: 2 }", reference(axis=2), [(2, 3, 4), labels((2, 3), 4)]),
    case("ignore", "loss_param { ignore_label: 2 }", reference(ignore=2)),
    case("ignore -1, batch", "loss_param { ignore_label: -1 normalize: false }",
         reference(ignore=-1, mode="BATCH_SIZE"), [X, labels((2, 3, 2), 4, -1)]),
    case("none", "loss_param { normalization: NONE }", reference(mode="NONE")),
    case("probabilities", "", reference(second=True), tops=2),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "FocalLoss" focal_loss_param { type: LINEAR }', [(5, 3), (5,)], 1, "type LINEAR"),
    ('type: "FocalLoss" focal_loss_param { gamma: -1 }', [(5, 3), (5,)], 1, "must not be negative"),
    ('type: "FocalLoss" focal_loss_param { alpha: 0 }', [(5, 3), (5,)], 1, "must be positive"),
    ('type: "FocalLoss"', [(5, 3), (5, 2)], 1, "there must be one label a prediction"),
])


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
def test_certainty_gives_no_nan(gamma):
    layer = make(case("l", f"focal_loss_param {{ gamma: {gamma} }}", None, [(2, 2), np.array([0.0, 1])])).layer("l")
    x = torch.tensor([[200.0, -200], [200, -200]], requires_grad=True)
    (loss,) = layer(x, torch.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == pytest.approx(0.25 * 126 * np.log(2) / 2) and x.grad.isfinite().all()
