"""Slice: equal pieces and given places, both spellings of the axis, one top, an empty last piece."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def reference(axis, places):
    return lambda bottoms, blobs: np.split(bottoms[0], places, axis)


CASES = [
    Case("equal", 'type: "Slice"', [(2, 6, 5)], reference(1, 3), tops=3),
    Case("places", 'type: "Slice" slice_param { axis: -2 slice_point: 1 slice_point: 4 }', [(2, 6, 5)], reference(1, [1, 4]), tops=3),
    Case("slice_dim", 'type: "Slice" slice_param { slice_dim: 2 }', [(2, 3, 6, 5)], reference(2, 2), tops=2,
         opencv="it reads axis only"),
    Case("batch", 'type: "Slice" slice_param { axis: 0 slice_point: 1 }', [(3, 2, 5)], reference(0, [1]), tops=2),
    Case("batch in equal pieces", 'type: "Slice" slice_param { axis: 0 }', [(4, 2, 5)], reference(0, 2), tops=2),
    Case("one top", 'type: "Slice"', [(2, 6, 5)], reference(1, 1)),
    Case("empty last piece", 'type: "Slice" slice_param { slice_point: 3 }', [(2, 3)], reference(1, [3]), tops=2,
         opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Slice"', [(2, 5)], 2, "cannot be cut into 2 equal tops"),
    ('type: "Slice" slice_param { slice_point: 1 }', [(2, 5)], 3, "cut 2 pieces, but 3 tops"),
    ('type: "Slice" slice_param { slice_point: 3 slice_point: 3 }', [(2, 5)], 3, "must rise"),
    ('type: "Slice" slice_param { slice_point: 6 }', [(2, 5)], 2, "stay within the axis"),
    ('type: "Slice" slice_param { axis: 1 slice_dim: 1 }', [(2, 4)], 2, "not both"),
    ('type: "Slice" slice_param { slice_dim: 2 }', [(2, 4)], 2, "slice_dim 2 is out of range"),
    ('type: "Slice" slice_param { axis: 2 }', [(2, 4)], 2, "axis 2 is out of range"),
])
