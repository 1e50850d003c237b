"""Reshape: 0 and -1, ranges of axes, axes that are inserted, removed and appended."""

import math

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

INSERTS = "its reader knows shape, axis and num_axes of replaced axes only"


def row(options, top, shape=(2, 3, 4, 5), **more):
    return Case(options, f'type: "Reshape" reshape_param {{ {options} }}', [shape],
                lambda bottoms, blobs: [bottoms[0].reshape(top)], **more)


CASES = [
    row("shape { dim: 0 dim: -1 }", (2, 60)),
    row("shape { dim: 0 dim: 0 dim: 20 }", (2, 3, 20)),
    row("shape { dim: -1 }", (120,)),
    row("shape { dim: 120 }", (120,)),
    row("shape { dim: -1 dim: 0 dim: 0 dim: 0 }", (2, 3, 4, 5)),
    row("shape { dim: 2 dim: 12 dim: -1 }", (2, 12, 5)),
    row("shape { dim: 12 dim: -1 } axis: 1", (2, 12, 5)),
    row("shape { dim: -1 } axis: 1 num_axes: 2", (2, 12, 5)),
    row("shape { dim: 5 dim: 1 dim: -1 } axis: -2", (2, 3, 4, 5, 1, 1), opencv=INSERTS),
    row("shape { dim: 1 } axis: -1", (2, 3, 4, 5, 1), opencv=INSERTS),
    row("shape { dim: 1 } axis: 0 num_axes: 0", (1, 2, 3, 4, 5), opencv=INSERTS),
    row("shape { dim: -1 dim: 1 } axis: 0 num_axes: 0", (1, 1, 2, 3, 4, 5), opencv=INSERTS),
    row("shape { } axis: 1 num_axes: 1", (2, 4, 5), (2, 1, 4, 5), opencv=INSERTS),
    row("shape { dim: 6 dim: -1 }", (6, 20)),
    Case("pixelshuffler", 'type: "Reshape" reshape_param { pixelshuffler: 2 }', [(2, 12, 5, 4)],
         lambda b, blobs: [b[0].reshape(2, 3, 2, 2, 5, 4).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3, 10, 8)],
         opencv="it drops pixelshuffler"),
    row("shape { dim: 0 dim: 3 dim: 2 }", (0, 3, 2), (0, 6), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Reshape" reshape_param { shape { dim: 7 dim: -1 } }', [(2, 3)], 1, "does not divide by 7"),
    ('type: "Reshape" reshape_param { shape { dim: 7 } }', [(2, 3)], 1, "6 values are not 7"),
    ('type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }', [(2, 3)], 1, "several -1"),
    ('type: "Reshape" reshape_param { shape { dim: -2 dim: 3 } }', [(2, 3)], 1, "negative dimension"),
    ('type: "Reshape" reshape_param { shape { dim: 6 dim: 1 dim: 0 } }', [(2, 3)], 1, "no axis 2"),
    ('type: "Reshape" reshape_param { shape { dim: 6 } axis: 3 }', [(2, 3)], 1, "axis 3 is out of range"),
    ('type: "Reshape" reshape_param { shape { dim: 6 } axis: -4 }', [(2, 3)], 1, "axis -4 is out of range"),
    ('type: "Reshape" reshape_param { shape { dim: 6 } axis: 1 num_axes: 2 }', [(2, 3)], 1, "num_axes 2 from axis 1"),
    ('type: "Reshape" reshape_param { shape { dim: 6 } num_axes: -2 }', [(2, 3)], 1, "num_axes -2"),
    ('type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } }', [(0, 3)], 1, "cannot be inferred"),
])


def test_every_row_of_the_table_keeps_the_count():
    for case in CASES:
        (top,) = case.reference([np.zeros(case.bottoms[0])], [])
        assert top.size == math.prod(case.bottoms[0])
