"""MultiLabelLoss: weights given and not, unknown labels, shapes; far scores."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LABELS = np.array([[1, -1, 0], [-1, -1, 1], [0, 0, 0], [2, -3, 1]], float)
WEIGHTS = (0.1, 0.5, 0.8)
GIVEN = "multilabel_loss_param { " + " ".join(f"weight: {w}" for w in WEIGHTS) + " }"


def reference(weights=(0.5,)):
    def tops(bottoms, blobs):
        x, wanted = (b.reshape(len(b), -1) for b in bottoms)
        w = np.float32(weights).astype(float)
        log_yes, log_no = -np.logaddexp(0, -x), -np.logaddexp(0, x)
        each = np.where(wanted > 0, np.exp(1 - w) * log_yes, np.where(wanted < 0, np.exp(w) * log_no, 0))
        return [-each.sum() / len(x)]

    return tops


def case(name, options, found, bottoms=((4, 3), LABELS)):
    return Case(name, f'type: "MultiLabelLoss" {options}', bottoms, found, onnx="a loss", opencv="a loss")


CASES = [
    case("plain", "", reference()),
    case("weights", GIVEN, reference(WEIGHTS)),
    case("as maps", GIVEN, reference(WEIGHTS), [(4, 3, 1, 1), LABELS]),
    case("one attribute, one weight", "multilabel_loss_param { weight: 0.25 }", reference((0.25,)),
         [(4, 1), LABELS[:, :1]]),
    case("far scores", "", reference(), [np.array([[-200.0, 300, 5]]), np.array([[1.0, -1, 0]])]),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "MultiLabelLoss" multilabel_loss_param { weight: 1 }', [(4, 3), (4, 3)], 1, "1 weights for scores"),
    (f'type: "MultiLabelLoss" {GIVEN}', [(4, 2), (4, 2)], 1, "3 weights for scores"),
    ('type: "MultiLabelLoss"', [(4, 3), (4, 2)], 1, "must have the same count"),
    ('type: "MultiLabelLoss"', [(4, 3), (3, 4)], 1, "the same first dimension"),
])


def test_an_unknown_label_gets_no_gradient():
    x = torch.randn(4, 3, requires_grad=True)
    make(CASES[1]).layer("l")(x, torch.tensor(LABELS)).backward()
    assert ((x.grad == 0) == (torch.tensor(LABELS) == 0)).all()
