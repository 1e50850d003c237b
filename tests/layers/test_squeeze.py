"""Squeeze: axes given, from either end, and none given."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def row(options, shape, axes, **more):
    return Case(f"{options} {shape}", f'type: "Squeeze" squeeze_param {{ {options} }}', [shape],
                lambda bottoms, blobs: [np.squeeze(bottoms[0], axes)], opencv="it has no Squeeze", **more)


CASES = [
    row("axis: 2 axis: 3", (2, 3, 1, 1), (2, 3)),
    row("axis: -1", (2, 1, 5, 1), 3),
    row("axis: 1 axis: -3", (2, 1, 5, 1), 1),
    row("", (2, 1, 5, 1), None),
    row("", (2, 3), ()),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Squeeze" squeeze_param { axis: 1 }', [(2, 3, 1)], 1, r"axis 1 of a bottom \(2, 3, 1\) is not of size 1"),
    ('type: "Squeeze" squeeze_param { axis: 3 }', [(2, 3, 1)], 1, "out of range"),
])
