"""Deviation, bootstrap and verdicts against closed forms and against the measures themselves."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.par.experiment.compare import Difference, difference, mean_deviation, weighted_f1, weighted_ma
from caffe_port.par.metrics import evaluate_attributes

RANDOM = np.random.default_rng(3)
TRUTH = (RANDOM.random((60, 5)) < 0.4).astype(np.uint8)
NAMES = list("abcde")


def noisy(spread: float, seed: int) -> np.ndarray:
    return np.clip(TRUTH + np.random.default_rng(seed).normal(0, spread, TRUTH.shape), 0.01, 0.99)


@pytest.mark.parametrize("known", [1.0, 0.8])
def test_weights_of_one_give_the_measures(known) -> None:
    truth = np.where(np.random.default_rng(5).random(TRUTH.shape) < known, TRUTH, 255).astype(np.uint8)
    probabilities = noisy(0.7, 1)
    result = evaluate_attributes(probabilities, truth, NAMES)
    once = np.ones((1, 60))
    assert weighted_ma(probabilities > 0.5, truth, once)[0] == pytest.approx(result.mA)
    assert weighted_f1(probabilities > 0.5, truth, once)[0] == pytest.approx(result.f1)


def test_a_weight_of_two_is_the_sample_twice() -> None:
    probabilities, weights = noisy(0.7, 1), np.ones((1, 60))
    weights[0, 7] = 2
    again = evaluate_attributes(np.vstack([probabilities, probabilities[7]]), np.vstack([TRUTH, TRUTH[7]]), NAMES)
    assert weighted_ma(probabilities > 0.5, TRUTH, weights)[0] == pytest.approx(again.mA)
    assert weighted_f1(probabilities > 0.5, TRUTH, weights)[0] == pytest.approx(again.f1)


@pytest.mark.parametrize("measure", ["mA", "F1"])
def test_verdicts(measure) -> None:
    poor, good = [noisy(1.2, s) for s in (1, 2)], [noisy(0.4, s) for s in (1, 2)]
    better, worse = difference(poor, good, TRUTH, measure), difference(good, poor, TRUTH, measure)
    assert better.verdict == "better" and worse.verdict == "worse"
    assert better.mean == pytest.approx(-worse.mean) and better.low <= better.mean <= better.high
    same = difference(poor, poor, TRUTH, measure)
    assert (same.mean, same.low, same.high) == (0, 0, 0) and same.verdict == "no clear difference"


def test_seeds_that_disagree_show_nothing() -> None:
    assert Difference(0.02, (0.05, -0.01), 0.01, 0.03).verdict == "no clear difference"
    assert Difference(0.02, (0.03, 0.01), -0.01, 0.03).verdict == "no clear difference"


def test_mean_and_deviation() -> None:
    assert mean_deviation([1.0, 3.0]) == pytest.approx((2.0, 2**0.5))
    assert mean_deviation([4.0]) == (4.0, None)
