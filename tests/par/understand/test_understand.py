"""Attention's effects, co-occurrence, calibration and thresholds against finite differences and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port.net import Net
from caffe_port.par.understand.attention import agreement, attention, cooccurrence, order, strongest
from caffe_port.par.understand.calibration import calibration, corrected, jaccard, thresholds
from caffe_port.par.understand.charts import curves, matrix, spread
from caffe_port.par.understand.gallery import said, worst
from caffe_port.proto import load
from tests.par import nets

RANDOM = np.random.default_rng(2)


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> Net:
    folder = tmp_path_factory.mktemp("attention")
    made, weights = nets.network(folder, folder / "data", variant="mtms_att")
    net = Net(load.read_net(made / "deploy.prototxt"))
    net.copy_from(str(weights))
    return net.double()


def test_effect_is_the_derivative(net) -> None:
    """Against a small rise of one stage-I map everywhere."""
    x1, x2 = RANDOM.normal(size=(3, 30, 4, 2)), RANDOM.normal(size=(3, 30, 2, 1))
    found = attention(net, x1, x2)
    step = 1e-6
    for j in (0, 7, 29):
        raised = x1.copy()
        raised[:, j] += step
        after = attention(net, raised, x2)
        for name, blob in (("w", "att_w"), ("b", "att_b"), ("y", "att_y")):
            change = (after.maps[blob] - found.maps[blob]).mean((0, 2, 3)) / step
            np.testing.assert_allclose(getattr(found, name)[:, j], change, atol=1e-6)


def test_maps_are_the_nets_own(net) -> None:
    data = torch.from_numpy(RANDOM.normal(size=(2, 3, 32, 16)))
    ids = {n: net.graph.last[n].id for n in ("par1_map", "par2_map", "att_w", "att_b", "att_y")}
    with torch.no_grad():
        values = net.run({"data": data}, keep=set(ids.values())).values
    own = {n: values[i].numpy() for n, i in ids.items()}
    found = attention(net, own["par1_map"], own["par2_map"])
    for name in ("att_w", "att_b", "att_y"):
        np.testing.assert_allclose(found.maps[name], own[name], atol=1e-9)


def test_cooccurrence_is_the_correlation_of_the_columns() -> None:
    labels = (RANDOM.random((50, 4)) < 0.4).astype(np.uint8)
    np.testing.assert_allclose(cooccurrence(labels), np.corrcoef(labels.T), atol=1e-12)
    labels[:10, 2] = 255
    known = labels[10:]
    assert cooccurrence(labels)[2, 0] == pytest.approx(np.corrcoef(known[:, 2], known[:, 0])[0, 1])
    labels[:, 3] = 0
    assert np.isnan(cooccurrence(labels)[3, 0])


def test_agreement_and_order() -> None:
    phi = RANDOM.normal(size=(6, 6))
    assert agreement(phi, 3 * phi) == pytest.approx(1) and agreement(phi, -phi) == pytest.approx(-1)
    groups = np.kron(np.eye(2), np.ones((3, 3)))[np.ix_([0, 3, 1, 4, 2, 5], [0, 3, 1, 4, 2, 5])]
    found = order(groups)
    assert {frozenset(found[:3]), frozenset(found[3:])} == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}


def test_strongest_leaves_out_the_diagonal() -> None:
    learned = np.array([[9.0, 0.1, -2], [0.3, 9, 0], [0, 1, 9]])
    assert [(a, b, e) for a, b, e, _ in strongest(learned, np.eye(3), "abc", 2)] == [("c", "a", -2), ("b", "c", 1)]


def test_calibration_of_a_perfectly_calibrated_predictor() -> None:
    p = RANDOM.random((4000, 3))
    truth = (RANDOM.random(p.shape) < p).astype(np.uint8)
    found = calibration(p, truth)
    assert found.error < 0.02 and sum(n for *_, n in found.bins) == p.size
    assert calibration(np.full((10, 1), 0.9), np.zeros((10, 1), np.uint8)).error == pytest.approx(0.9)


def test_undoing_the_weights_gives_the_rates_back() -> None:
    """A predictor that knows nothing learns 1/2 under the weighted loss; undone that is the attribute's rate."""
    np.testing.assert_allclose(corrected(np.full((2, 3), 0.5), [0.1, 0.5, 0.9]), [[0.1, 0.5, 0.9]] * 2)


def test_thresholds() -> None:
    truth = (RANDOM.random((80, 4)) < 0.5).astype(np.uint8)
    p = np.clip(truth * 0.3 + 0.05 + RANDOM.normal(0, 0.02, truth.shape), 0, 1)
    found = thresholds(p, truth)
    assert 0.1 <= found.best("ma")[0] <= 0.3 and found.best("f1")[1] == pytest.approx((truth.sum(1) > 0).mean())
    assert found.ma[found.at.index(0.5)] == pytest.approx(0.5)


def test_jaccard_and_worst() -> None:
    truth = np.array([[1, 0, 255], [1, 1, 0], [0, 0, 0]], np.uint8)
    p = np.array([[0.9, 0.1, 0.9], [0.1, 0.6, 0.8], [0.2, 0.1, 0.3]])
    np.testing.assert_allclose(jaccard(p > 0.5, truth), [1, 1 / 3, 0])
    assert worst(p, truth, 2) == [2, 1]


def test_what_the_gallery_says_of_a_picture() -> None:
    names = ["a", "b", "c"]
    assert said(np.array([0.9, 0.2, 0.6]), np.array([1, 1, 0]), names) == (
        '<p class="chips"><b>a 90</b> · <s>c 60 ✗</s> · <u>missed: b 20</u></p>'
    )
    assert "its truth names no attribute · <s>a 90 ✗</s>" in said(np.array([0.9, 0.2, 0.1]), np.zeros(3), names)


def test_charts_hold_what_they_are_given() -> None:
    chart = curves("a < b", [("one", [(0, 10), (100, 90)]), ("nan", [(0, float("nan"))])], "x")
    assert "a &lt; b" in chart and chart.count("<path") == 1
    assert curves("t", [], "x") == ""
    drawn = matrix("m", np.array([[1, 0.5, -0.5], [0.2, 1, np.nan], [0, 0, 1]]), ["a", "b", "c"], [0, 1, 2], "c")
    assert drawn.count('class="plus"') == 2 and drawn.count('class="minus"') == 1 and "Full colour: ±0.5" in drawn
    long = matrix("m", np.eye(2), ["attach-SingleShoulderBag", "b"], [1, 0], "c")
    assert long.count(">attach-SingleShoulderBag<") == 2  # whole, at its row and its column
    places = spread([50, 52, 51])
    assert min(abs(a - b) for i, a in enumerate(places) for b in places[:i]) >= 14
