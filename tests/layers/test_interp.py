"""Interp: every way to give the size, cropping, planes of one pixel."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (1, 1, 5, 7)


def reference(height, width, beg=0, end=0):
    """Written out pixel by pixel from the definition: corners on corners."""

    def tops(bottoms, blobs):
        x = bottoms[0][:, :, beg : bottoms[0].shape[2] - end, beg : bottoms[0].shape[3] - end]
        n, c, h, w = x.shape
        y = np.zeros((n, c, height, width))
        for i in range(height):
            for j in range(width):
                row = i * (h - 1) / (height - 1) if height > 1 else 0
                column = j * (w - 1) / (width - 1) if width > 1 else 0
                a, b = int(row + 1e-9), int(column + 1e-9)
                below, right = min(a + 1, h - 1), min(b + 1, w - 1)
                p, q = row - a, column - b
                y[:, :, i, j] = (1 - p) * ((1 - q) * x[:, :, a, b] + q * x[:, :, a, right]) + p * (
                    (1 - q) * x[:, :, below, b] + q * x[:, :, below, right]
                )
        return [y]

    return tops


def case(name, options, size, bottom=X, crop=(0, 0), **more):
    return Case(name, f'type: "Interp" interp_param {{ {options} }}', [bottom], reference(*size, *crop), **more)


CROPS, SHRINKS = "it does not crop", "it does not know shrink_factor"
CASES = [
    case("larger", "height: 9 width: 16", (9, 16)),
    case("smaller", "height: 2 width: 4", (2, 4)),
    case("one new pixel", "height: 1 width: 3", (1, 3)),
    case("from one pixel", "height: 3 width: 2", (3, 2), (2, 3, 1, 1)),
    case("the same", "height: 5 width: 7", (5, 7)),
    case("zoom", "zoom_factor: 3", (13, 19)),
    case("zoom by 8", "zoom_factor: 8", (9, 17), (1, 2, 2, 3)),
    case("shrink", "shrink_factor: 2", (3, 4), opencv=SHRINKS),
    case("shrink, then zoom", "shrink_factor: 2 zoom_factor: 3", (7, 10), opencv=SHRINKS),
    case("a factor beats the size", "zoom_factor: 2 height: 3 width: 3", (9, 13)),
    case("the size beats two factors", "zoom_factor: 2 shrink_factor: 2 height: 3 width: 4", (3, 4), opencv=SHRINKS),
    case("cropped", "height: 6 width: 9 pad_beg: -1 pad_end: -2", (6, 9), crop=(1, 2), opencv=CROPS),
    case("only cropped", "zoom_factor: 1 pad_beg: -1", (4, 6), crop=(1, 0), opencv=CROPS),
    case("empty batch", "zoom_factor: 2", (9, 13), (0, 1, 5, 7), gradient=False, onnx=True, opencv="no picture"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Interp"', [X], 1, "needs height and width"),
    ('type: "Interp" interp_param { height: 4 }', [X], 1, "needs height and width, or zoom_factor"),
    ('type: "Interp" interp_param { zoom_factor: 0 }', [X], 1, "must be at least 1"),
    ('type: "Interp" interp_param { zoom_factor: 2 pad_beg: 1 }', [X], 1, "can only crop"),
    ('type: "Interp" interp_param { zoom_factor: 2 pad_beg: -5 }', [X], 1, "leave nothing of a plane"),
    ('type: "Interp" interp_param { height: 0 width: 4 }', [X], 1, "must be positive"),
    ('type: "Interp" interp_param { zoom_factor: 2 }', [(2, 3, 5)], 1, "must have 4 axes"),
])
