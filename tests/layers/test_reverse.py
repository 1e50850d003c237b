"""Reverse: one axis, several, the first by default."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (4, 2, 3)


def case(name, options, *axes):
    return Case(name, f'type: "Reverse" reverse_param {{ {options} }}', [X],
                lambda bottoms, blobs: [np.flip(bottoms[0], axes)], opencv="it has no such layer")  # fmt: skip


CASES = [
    case("default", "", 0),
    case("axis 1", "axis: 1", 1),
    case("from the end", "axis: -1", 2),
    case("two axes", "axis: 2 axis: 0", 0, 2),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Reverse" reverse_param { axis: 3 }', [X], 1, "axis 3 is out of range"),
    ('type: "Reverse" reverse_param { axis: 1 axis: -2 }', [X], 1, "named twice"),
])
