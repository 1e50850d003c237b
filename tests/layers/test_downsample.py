"""Downsample: weights, sizes given in two ways, NaN."""

import math

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def reference(high, wide):
    def tops(bottoms, blobs):
        x = bottoms[0]
        n, c, h, w = x.shape
        y = np.full((n, c, high, wide), np.nan)
        scales = (h - 1) / (high - 1), (w - 1) / (wide - 1)
        for i, j in np.ndindex(high, wide):
            row, column = i * scales[0], j * scales[1]
            total, counted, lost = (np.zeros((n, c)) for _ in range(3))
            for a, b in np.ndindex(h, w):
                near = [abs(k - math.floor(p + 0.5)) <= math.ceil(s)
                        for k, p, s in zip((a, b), (row, column), scales, strict=True)]  # fmt: skip
                weight = max(0, 1 - abs(a - row) / scales[0]) * max(0, 1 - abs(b - column) / scales[1]) * all(near)
                gone = np.isnan(x[:, :, a, b])
                total += np.where(gone, 0, x[:, :, a, b]) * weight
                counted += np.where(gone, 0, weight)
                lost += np.where(gone, weight, 0)
            with np.errstate(all="ignore"):
                y[:, :, i, j] = np.where(lost / counted > 0.5, np.nan, total / counted)
        return [y]

    return tops


def case(name, options, bottoms, found, **more):
    return Case(name, f'type: "Downsample" downsample_param {{ {options} }}', bottoms, found, gradient=False,
                opencv="it has no Downsample", **more)


X = (2, 3, 9, 7)
HOLES = np.random.default_rng(1).normal(size=X)
HOLES[:, :, 2:5, 1:4] = np.nan
HOLES[0, 1, 7, 5] = np.nan
CASES = [
    case("given", "top_height: 4 top_width: 3", [X], reference(4, 3)),
    case("of a second bottom", "", [X, (1, 5, 3, 5)], reference(3, 5)),
    case("NaN", "top_height: 4 top_width: 3", [HOLES], reference(4, 3)),
    case("the same", "top_height: 9 top_width: 7", [X], lambda b, blobs: [b[0]]),
    case("larger", "top_height: 12 top_width: 9", [X], reference(12, 9)),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Downsample"', [X], 1, "give top_height and top_width, or a second bottom"),
    ('type: "Downsample" downsample_param { top_height: 1 top_width: 3 }', [X], 1, "must be 2 or more"),
    ('type: "Downsample" downsample_param { top_height: 2 top_width: 3 }', [(2, 3)], 1, "4 axes"),
])
