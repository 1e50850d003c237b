"""Two arrays that should be one: how far apart, relative to what, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-4
"""Largest difference relative to the blob's own scale that still counts as the same computation. Float32 rounding
through a hundred layers stays near 1e-6; a wrong formula shows above 1e-3."""


@dataclass(frozen=True)
class Difference:
    """How `theirs` differs from `ours`.

    absolute  largest absolute error (inf where shapes differ or only one is finite)
    relative  that, divided by the scale: the largest magnitude in ours (1 for a blob of zeros)
    cosine    of the angle between the two, as one long vector each
    index     where the largest error is; ours, theirs: the values there
    """

    absolute: float
    relative: float
    cosine: float
    index: tuple[int, ...]
    ours: float
    theirs: float
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        return f"{self.theirs:.6g} instead of {self.ours:.6g} at {self.index}, {self.relative:.2g} of the blob's scale"


def difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Compare element by element. NaN equals NaN; the same infinity equals itself. Axes of 1 at the ends may differ."""
    nowhere: tuple[int, ...] = ()
    if ours.shape != theirs.shape:
        if ours.size != theirs.size or _squeezed(ours) != _squeezed(theirs):
            text = f"shape {theirs.shape} instead of {ours.shape}"
            return Difference(np.inf, np.inf, 0.0, nowhere, np.nan, np.nan, text)
        theirs = theirs.reshape(ours.shape)
    if not ours.size:
        return Difference(0.0, 0.0, 1.0, nowhere, np.nan, np.nan)
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    apart = np.where(np.isnan(apart), np.inf, apart)
    worst = int(np.argmax(apart))
    index = tuple(int(i) for i in np.unravel_index(worst, a.shape)) if a.shape else ()
    finite = np.where(np.isfinite(a), np.abs(a), 0.0)
    scale = float(finite.max()) or 1.0
    return Difference(
        float(apart.flat[worst]),
        float(apart.flat[worst]) / scale,
        _cosine(a, b),
        index,
        float(a.flat[worst]),
        float(b.flat[worst]),
    )


def _squeezed(array: np.ndarray) -> list[int]:
    return [d for d in array.shape if d != 1]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (np.where(np.isfinite(x), x, 0.0).ravel() for x in (a, b))
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else float(np.array_equal(a, b))
