"""MultiLabelAccuracy: the seven measures, counted one by one; attributes and samples without positives."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run


def reference(bottoms, blobs):
    scores, wanted = (b.reshape(len(b), -1) for b in bottoms)
    wanted = np.trunc(wanted)
    shares = {1: [], -1: []}
    for a in range(scores.shape[1]):
        for sign in (1, -1):
            rows = [n for n in range(len(scores)) if wanted[n, a] * sign > 0]
            hits = sum((scores[n, a] >= 0) == (sign > 0) for n in rows)
            shares[sign].append(hits / max(1, len(rows)))
    sums, count = np.zeros(3), 0
    for s, w in zip(scores, wanted, strict=True):
        true, predicted = {*np.flatnonzero(w == 1)}, {*np.flatnonzero(s >= 0)}
        if true and predicted:
            count += 1
            hits = len(true & predicted)
            sums += [hits / len(true | predicted), hits / len(predicted), hits / len(true)]
    accuracy, precision, recall = sums / max(1, count)
    with np.errstate(invalid="ignore"):
        f1 = np.float64(2 * precision * recall) / (precision + recall) if count else 0
    positive, negative = np.mean(shares[1]), np.mean(shares[-1])
    measures = [positive, negative, (positive + negative) / 2, accuracy, precision, recall, f1]
    return [np.array(measures).reshape(1, 7, 1, 1)]


def case(name, scores, labels):
    text = 'type: "MultiLabelAccuracy"'
    return Case(name, text, [scores, labels], reference, onnx="a metric", opencv="a metric", gradient=False)


RNG = np.random.default_rng(4)
CASES = [
    case("drawn", RNG.normal(size=(9, 5)), RNG.integers(-1, 2, (9, 5)).astype(float)),
    case("maps", RNG.normal(size=(4, 6, 1, 1)), RNG.integers(-1, 2, (4, 6, 1, 1)).astype(float)),
    case("nobody has it", RNG.normal(size=(4, 3)), -np.ones((4, 3))),
    case("none right", np.array([[1.0, -1]]), np.array([[-1.0, 1]])),
    case("a score of 0 is positive", np.zeros((2, 3)), np.array([[1.0, -1, 0], [1, 1, 1.9]])),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "MultiLabelAccuracy"', [(4, 3), (4, 2)], 1, "must have one shape"),
    ('type: "MultiLabelAccuracy"', [(0, 3), (0, 3)], 1, "with numbers"),
])


def test_no_gradient():
    x = torch.randn(4, 3, requires_grad=True)
    assert not make(case("l", np.zeros((4, 3)), np.zeros((4, 3)))).layer("l")(x, torch.ones(4, 3)).requires_grad
