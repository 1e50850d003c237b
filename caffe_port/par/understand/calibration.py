"""How far a predicted probability is the share of pictures that have the attribute, and what the threshold does. Pure
NumPy.

The weighted loss (equation 2) counts a positive 1/(2w) and a negative 1/(2(1-w)), w the positive rate: what it learns
is the probability among equally many of both kinds. The odds in the data are those times w/(1-w); `corrected` undoes
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe_port.par.experiment.compare import weighted_f1, weighted_ma
from caffe_port.par.metrics import IGNORE

BINS = 10
THRESHOLDS = (0.01, 0.02, *(round(0.05 * i, 2) for i in range(1, 20)), 0.98, 0.99)


@dataclass(frozen=True)
class Calibration:
    """`bins`: (mean probability, share of positives, count) of each filled tenth; `error`: expected calibration
    error."""

    bins: tuple[tuple[float, float, int], ...]
    error: float


def calibration(probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS) -> Calibration:
    """Over all attributes and samples whose truth is known."""
    known = truth != IGNORE
    p, real = probabilities[known].astype(np.float64), truth[known] == 1
    where = np.minimum((p * bins).astype(int), bins - 1)
    found, error = [], 0.0
    for i in range(bins):
        here = where == i
        if here.any():
            said, was = float(p[here].mean()), float(real[here].mean())
            found.append((said, was, int(here.sum())))
            error += here.mean() * abs(said - was)
    return Calibration(tuple(found), float(error))


def corrected(probabilities: np.ndarray, rates: Sequence[float]) -> np.ndarray:
    """Probabilities of a net of the weighted loss, brought back to the training split's rates."""
    w = np.clip(np.asarray(rates, np.float64), 1e-6, 1 - 1e-6)
    p = np.clip(probabilities.astype(np.float64), 1e-9, 1 - 1e-9)
    return p * w / (p * w + (1 - p) * (1 - w))


@dataclass(frozen=True)
class Threshold:
    """mA, sample accuracy and F1, as fractions, at each of `at`."""

    at: tuple[float, ...]
    ma: tuple[float, ...]
    accuracy: tuple[float, ...]
    f1: tuple[float, ...]

    def best(self, measure: str) -> tuple[float, float]:
        """(threshold, value) of the largest value."""
        values = getattr(self, measure)
        i = int(np.nanargmax(values))
        return self.at[i], values[i]


def thresholds(probabilities: np.ndarray, truth: np.ndarray, at: Sequence[float] = THRESHOLDS) -> Threshold:
    """The measures as the threshold moves."""
    once = np.ones((1, len(truth)))
    ma, f1, accuracy = [], [], []
    for t in at:
        says = probabilities > t
        ma.append(float(weighted_ma(says, truth, once)[0]))
        f1.append(float(weighted_f1(says, truth, once)[0]))
        accuracy.append(float(jaccard(says, truth).mean()))
    return Threshold(tuple(at), tuple(ma), tuple(accuracy), tuple(f1))


def mean_of(runs: Sequence[Threshold]) -> Threshold:
    """The measures' means over runs at the same thresholds."""
    means = (tuple(np.mean([getattr(run, k) for run in runs], 0).tolist()) for k in ("ma", "accuracy", "f1"))
    return Threshold(runs[0].at, *means)


def jaccard(says: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Each sample's overlap of prediction and truth; 0 where both are empty."""
    known = truth != IGNORE
    says, real = says & known, (truth == 1) & known
    return (says & real).sum(1) / np.maximum((says | real).sum(1), 1)
