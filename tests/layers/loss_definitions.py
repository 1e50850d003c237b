"""What several losses' references need, written from the definitions in float64."""

from __future__ import annotations

import numpy as np

MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def rows(x: np.ndarray, axis: int) -> np.ndarray:
    """(number of predictions, classes): every prediction's class axis as one row, in the order of the labels."""
    return np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])


def divisor(mode: str, outer: int, count: int, valid: int) -> int:
    return max(1, {"FULL": count, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[mode])


def labels(shape: tuple[int, ...], classes: int, least: int = 0, seed: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).integers(least, classes, shape).astype(float)
