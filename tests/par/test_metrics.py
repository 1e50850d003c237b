"""The measures against an example worked by hand and against plain loops written from the equations."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.par.metrics import IGNORE, Confusion, evaluate_attributes

NAMES = ["a", "b", "c"]
# Four samples, three attributes; predictions are 110, 010, 000, 101 (0.5 is not above 0.5).
PROBABILITIES = np.array([[0.9, 0.8, 0.2], [0.5, 0.7, 0.1], [0.1, 0.2, 0.3], [0.6, 0.4, 0.9]])
TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], np.uint8)


def test_worked_by_hand():
    r = evaluate_attributes(PROBABILITIES, TRUTH, NAMES)
    a, b, c = r.attributes
    assert (a.positives, a.negatives, a.tp, a.tn, a.fp, a.fn) == (2, 2, 1, 1, 1, 1)
    assert (b.tp, b.tn, b.fp, b.fn) == (1, 1, 1, 1) and (c.tp, c.tn, c.fp, c.fn) == (1, 3, 0, 0)
    assert r.mA == pytest.approx((0.5 + 0.5 + 1.0) / 3)  # equation 8 with its 1/2
    # |prediction and truth| / |prediction or truth|: 1/2, 1/2, 0/0 -> 0, 1/3
    assert r.accuracy == pytest.approx((1 / 2 + 1 / 2 + 0 + 1 / 3) / 4)
    assert r.precision == pytest.approx((1 / 2 + 1 / 1 + 0 + 1 / 2) / 4)
    assert r.recall == pytest.approx((1 / 1 + 1 / 2 + 0 + 1 / 2) / 4)
    assert r.f1 == pytest.approx(2 * 0.5 * 0.5 / (0.5 + 0.5))
    assert (r.empty_union, r.empty_prediction, r.empty_truth, r.samples) == (1, 1, 1, 4)
    assert (c.tpr, c.tnr, c.precision, c.recall, c.f1, c.accuracy) == (1, 1, 1, 1, 1, 1)


def loops(probabilities, truth, threshold):
    """Equations 8 to 12, entry by entry."""
    n, count = truth.shape
    terms = []
    for i in range(count):
        known = [k for k in range(n) if truth[k, i] != IGNORE]
        p = [k for k in known if truth[k, i] == 1]
        m = [k for k in known if truth[k, i] == 0]
        if p and m:
            tp = sum(probabilities[k, i] > threshold for k in p)
            tn = sum(probabilities[k, i] <= threshold for k in m)
            terms.append((tp / len(p) + tn / len(m)) / 2)
    sums = np.zeros(3)
    for k in range(n):
        says = {i for i in range(count) if probabilities[k, i] > threshold and truth[k, i] != IGNORE}
        real = {i for i in range(count) if truth[k, i] == 1}
        for j, below in enumerate((says | real, says, real)):
            sums[j] += len(says & real) / len(below) if below else 0
    acc, prec, rec = sums / n
    return [np.mean(terms), acc, prec, rec, 2 * prec * rec / (prec + rec)]


@pytest.mark.parametrize("threshold", [0.5, 0.2])
@pytest.mark.parametrize("ignored", [0.0, 0.2])
def test_equals_the_loops(threshold, ignored):
    rng = np.random.default_rng(5)
    truth = (rng.random((57, 11)) < rng.uniform(0.02, 0.5, 11)).astype(np.uint8)
    truth[rng.random(truth.shape) < ignored] = IGNORE
    probabilities = np.clip((truth == 1) * 0.3 + rng.random(truth.shape) * 0.7, 0, 1)
    r = evaluate_attributes(probabilities, truth, [f"n{i}" for i in range(11)], threshold)
    np.testing.assert_allclose(r.five, loops(probabilities, truth, threshold), rtol=1e-12)


def test_attribute_of_one_kind_is_left_out_of_mA_and_named():
    truth = TRUTH.copy()
    truth[:, 2] = 0
    r = evaluate_attributes(PROBABILITIES, truth, NAMES)
    assert r.excluded == ["c"] and r.mA == pytest.approx(0.5)
    assert math.isnan(r.attributes[2].tpr) and r.attributes[2].tnr == 0.75
    said = json.dumps(r.to_json(), allow_nan=False)
    assert json.loads(said)["attributes"][2]["tpr"] is None
    assert "not in mA" in r.table() and "counted 0" in r.table()


def test_perfect_and_opposite():
    perfect = evaluate_attributes(TRUTH, TRUTH, NAMES)
    assert perfect.mA == 1 and perfect.precision == 0.75  # the sample without a positive counts 0
    opposite = evaluate_attributes(1 - TRUTH, TRUTH, NAMES)
    assert opposite.mA == 0 and opposite.f1 == 0


@pytest.mark.parametrize(
    "probabilities, truth, message",
    [
        (PROBABILITIES[:3], TRUTH, "samples x attributes"),
        (PROBABILITIES[:0], TRUTH[:0], "no sample"),
        (np.where(PROBABILITIES == 0.3, np.nan, PROBABILITIES), TRUTH, "'c' for sample 2 is not a number"),
        (PROBABILITIES, TRUTH * 2, "it may be 0, 1 or 255"),
    ],
)
def test_refusals(probabilities, truth, message):
    with pytest.raises(DataError, match=message):
        evaluate_attributes(probabilities, truth, NAMES)


def test_confusion_by_hand_and_in_parts():
    truth = np.array([[0, 0, 1], [1, 255, 2]])
    says = np.array([[0, 1, 1], [1, 3, 0]])
    c = Confusion(["x", "y", "z", "w"])
    c.add(truth[:1], says[:1])
    c.add(truth[1:], says[1:])
    r = c.result()
    assert c.counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert r.pixels == 5 and r.pixel_accuracy == 3 / 5  # the ignored pixel's prediction counts for nothing
    assert (r.iou["x"], r.iou["y"], r.iou["z"]) == (1 / 3, 2 / 3, 0) and math.isnan(r.iou["w"])
    assert r.absent == ["w"] and r.mean_iou == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)
    assert r.mean_class_accuracy == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert r.to_json()["iou"]["w"] is None and "mean IoU 33.33" in r.table()


def test_confusion_against_loops():
    rng = np.random.default_rng(0)
    truth, says = rng.integers(0, 5, (3, 7, 11)), rng.integers(0, 5, (3, 7, 11))
    truth[0, :2] = 255
    c = Confusion(list("abcde"))
    c.add(truth.astype(np.uint8), says)
    r = c.result()
    known = truth != 255
    for k, name in enumerate("abcde"):
        inter = (known & (truth == k) & (says == k)).sum()
        union = (known & ((truth == k) | (says == k))).sum()
        assert r.iou[name] == inter / union
    assert r.pixel_accuracy == (says == truth)[known].mean()


def test_confusion_refusals():
    c = Confusion(["x", "y"])
    with pytest.raises(DataError, match="no pixel"):
        c.result()
    with pytest.raises(DataError, match="predicted label is 2"):
        c.add(np.array([0]), np.array([2]))
    with pytest.raises(DataError, match="true labels are"):
        c.add(np.zeros((2, 3), int), np.zeros((3, 2), int))
