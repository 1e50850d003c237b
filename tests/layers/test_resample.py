"""Resample: the three kinds, larger and smaller, smoothed or not, sizes from an option and from a second bottom."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (1, 1, 6, 8)


def kernel(kind, t):
    t = abs(t)
    if kind == "LINEAR":
        return max(0.0, 1 - t)
    return t * t * (1.5 * t - 2.5) + 1 if t <= 1 else t * (t * (-0.5 * t + 2.5) - 4) + 2 if t < 2 else 0.0


def reference(height, width, kind="LINEAR", antialias=True):
    """Pixel by pixel, in the order in which FlowNet2's kernel sums."""

    def tops(bottoms, blobs):
        x = bottoms[0]
        fy, fx = x.shape[2] / height, x.shape[3] / width
        smooth = antialias and (fx > 1 or fy > 1)
        ay, ax = (1 / fy, 1 / fx) if smooth else (1, 1)
        y = np.zeros((*x.shape[:2], height, width))
        for i, j in np.ndindex(height, width):
            column, row = j * fx + fy / 2 - 0.5, i * fy + fx / 2 - 0.5
            if kind == "NEAREST":
                r, c = (int(np.floor(v + 0.5)) for v in (row, column))
                y[:, :, i, j] = x[:, :, min(r, x.shape[2] - 1), min(c, x.shape[3] - 1)]
                continue
            total, weights = 0, 0
            for r, c in np.ndindex(*x.shape[2:]):
                w = ax * kernel(kind, ax * (column - c)) * ay * kernel(kind, ay * (row - r))
                total, weights = total + w * x[:, :, r, c], weights + w
            y[:, :, i, j] = total / weights if weights else 0
        return [y]

    return tops


def case(name, options, found, bottoms=(X,), opencv="it leaves the half pixels out"):
    return Case(name, f'type: "Resample" resample_param {{ {options} }}', bottoms, found, opencv=opencv)


CASES = [
    case("LINEAR, larger", "height: 12 width: 16 type: LINEAR", reference(12, 16)),
    case("LINEAR, smaller", "height: 3 width: 4", reference(3, 4)),
    case("LINEAR, not smoothed", "height: 3 width: 4 antialias: false", reference(3, 4, antialias=False)),
    case("LINEAR, odd factors", "height: 4 width: 12", reference(4, 12)),
    case("CUBIC, larger", "height: 9 width: 12 type: CUBIC", reference(9, 12, "CUBIC"), opencv="it has no cubic"),
    case("CUBIC, smaller", "height: 2 width: 5 type: CUBIC", reference(2, 5, "CUBIC"), opencv="it has no cubic"),
    case("NEAREST, larger", "height: 12 width: 16 type: NEAREST", reference(12, 16, "NEAREST"), opencv=True),
    case("NEAREST, smaller", "height: 2 width: 3 type: NEAREST", reference(2, 3, "NEAREST")),
    case("NEAREST, past the plane", "height: 6 width: 2 type: NEAREST", reference(6, 2, "NEAREST")),
    case("a second bottom", "factor: 3", reference(3, 5), [X, (1, 1, 3, 5)]),
    case("the same", "height: 6 width: 8 type: LINEAR", reference(6, 8), opencv=True),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Resample"', [X], 1, "height and width must be given"),
    ('type: "Resample" resample_param { height: 3 width: 3 type: AREA }', [X], 1, "type AREA"),
    ('type: "Resample" resample_param { height: 3 width: 3 }', [(2, 3)], 1, "must have 4 axes"),
    ('type: "Resample"', [X, (1, 1, 0, 3)], 1, "cannot be done"),
])
