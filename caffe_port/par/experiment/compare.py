"""Are two rows of a table different? Deviation over seeds, and a paired bootstrap over the test pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe_port.par.metrics import IGNORE

DRAWS = 1000


@dataclass(frozen=True)
class Difference:
    """Row b less row a in one measure. `by_seed`: of the runs with the same seed. `low`, `high`: 95 % of what other
    test pictures of the same kind would give, the trained networks kept as they are."""

    mean: float
    by_seed: tuple[float, ...]
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "better" or "worse" where every seed, of two at least, and the whole interval agree, else "no clear
        difference": one training says nothing of how far the next would be."""
        if len(self.by_seed) < 2:
            return "no clear difference"
        if self.low > 0 and all(d > 0 for d in self.by_seed):
            return "better"
        if self.high < 0 and all(d < 0 for d in self.by_seed):
            return "worse"
        return "no clear difference"


def mean_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (None for one value)."""
    mean = float(np.mean(values))
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else None


def difference(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], truth: np.ndarray, measure: str = "mA", threshold: float = 0.5,
    draws: int = DRAWS, seed: int = 0,
) -> Difference:  # fmt: skip
    """`a`, `b`: probabilities (samples x attributes) of the runs of each row, a run a seed, in the same order of seeds.
    `measure`: mA or F1. The same drawn pictures judge both rows."""
    weights = np.random.default_rng(seed).multinomial(len(truth), np.full(len(truth), 1 / len(truth)), draws)
    once = np.ones((1, len(truth)))
    function = {"mA": weighted_ma, "F1": weighted_f1}[measure]
    apart = [
        (function(q > threshold, truth, w) - function(p > threshold, truth, w))
        for w in (once, weights)
        for p, q in zip(a, b, strict=True)
    ]
    by_seed = [float(d[0]) for d in apart[: len(a)]]
    drawn = np.mean(apart[len(a) :], 0)
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, (2.5, 97.5)) if len(drawn) else (math.nan, math.nan)
    return Difference(float(np.mean(by_seed)), tuple(by_seed), float(low), float(high))


def weighted_ma(says: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """mA of each row of `weights` (draws x samples, how often each sample counts); attributes of one kind only in a
    draw do not count in it."""
    known = truth != IGNORE
    positive, negative = (truth == 1) & known, (truth != 1) & known
    with np.errstate(invalid="ignore", divide="ignore"):
        tpr = (weights @ (says & positive)) / (weights @ positive)
        tnr = (weights @ (~says & negative)) / (weights @ negative)
        return np.nanmean((tpr + tnr) / 2, 1)


def weighted_f1(says: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of the averaged precision and recall; an empty denominator counts 0."""
    known = truth != IGNORE
    says, real = says & known, (truth == 1) & known
    hits = (says & real).sum(1)
    total = weights.sum(1)
    precision = weights @ (hits / np.maximum(says.sum(1), 1)) / total
    recall = weights @ (hits / np.maximum(real.sum(1), 1)) / total
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)
