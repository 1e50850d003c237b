"""Concat: axes in both spellings, several bottoms, one bottom, an empty bottom."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def reference(axis):
    return lambda bottoms, blobs: [np.concatenate(bottoms, axis)]


CASES = [
    Case("default", 'type: "Concat"', [(2, 3, 5), (2, 1, 5), (2, 4, 5)], reference(1)),
    Case("axis 0", 'type: "Concat" concat_param { axis: 0 }', [(2, 3, 5), (1, 3, 5)], reference(0)),
    Case("negative axis", 'type: "Concat" concat_param { axis: -1 }', [(2, 3, 5, 7), (2, 3, 5, 1)], reference(3)),
    Case("concat_dim", 'type: "Concat" concat_param { concat_dim: 2 }', [(2, 3, 5, 7), (2, 3, 2, 7)], reference(2),
         opencv="it reads axis only"),
    Case("one bottom", 'type: "Concat"', [(2, 3, 5)], reference(1)),
    Case("empty bottom", 'type: "Concat"', [(2, 3, 5), (2, 0, 5)], reference(1), gradient=False,
         opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Concat"', [(2, 3, 5), (2, 3, 4)], 1, "the same but for axis 1"),
    ('type: "Concat"', [(2, 3, 5), (2, 3)], 1, "the same but for axis 1"),
    ('type: "Concat" concat_param { axis: 1 concat_dim: 1 }', [(2, 3)], 1, "not both"),
    ('type: "Concat" concat_param { axis: 3 }', [(2, 3)], 1, "axis 3 is out of range"),
    ('type: "Concat" concat_param { concat_dim: 2 }', [(2, 3)], 1, "concat_dim 2 is out of range"),
])
