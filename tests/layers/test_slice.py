"""Slice: equal pieces and given places, both spellings of the axis, one top, an empty last piece."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

UNREAD = "its reader counts only tops that another layer reads"


def reference(axis, places):
    return lambda bottoms, blobs: np.split(bottoms[0], places, axis)


def row(name, options, shape, ref, tops):
    return Case(name, f'type: "Slice" slice_param {{ {options} }}', [shape], ref, tops=tops, opencv=UNREAD)


CASES = [
    row("equal", "", (2, 6, 5), reference(1, 3), 3),
    row("places", "axis: -2 slice_point: 1 slice_point: 4", (2, 6, 5), reference(1, [1, 4]), 3),
    row("slice_dim", "slice_dim: 2", (2, 3, 6, 5), reference(2, 2), 2),
    row("batch", "axis: 0 slice_point: 1", (3, 2, 5), reference(0, [1]), 2),
    row("batch in equal pieces", "axis: 0", (4, 2, 5), reference(0, 2), 2),
    row("one top", "", (2, 6, 5), reference(1, 1), 1),
    row("empty last piece", "slice_point: 3", (2, 3), reference(1, [3]), 2),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Slice"', [(2, 5)], 2, "cannot be cut into 2 equal tops"),
    ('type: "Slice" slice_param { slice_point: 1 }', [(2, 5)], 3, "cut 2 pieces, but there are 3 tops"),
    ('type: "Slice" slice_param { slice_point: 3 slice_point: 3 }', [(2, 5)], 3, "must rise"),
    ('type: "Slice" slice_param { slice_point: 6 }', [(2, 5)], 2, "stay within the axis"),
    ('type: "Slice" slice_param { axis: 1 slice_dim: 1 }', [(2, 4)], 2, "not both"),
    ('type: "Slice" slice_param { slice_dim: 2 }', [(2, 4)], 2, "slice_dim 2 is out of range"),
    ('type: "Slice" slice_param { axis: 2 }', [(2, 4)], 2, "axis 2 is out of range"),
])
