"""Pad: the three kinds of frame, one width and four."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (1, 1, 4, 5)
MODES = {"ZERO": "constant", "REPLICATE": "edge", "REFLECT": "symmetric"}


def case(kind, options, sides, bottom=X, **more):
    left, right, top, bottom_side = sides
    widths = ((0, 0), (0, 0), (top, bottom_side), (left, right))
    return Case(
        f"{kind} {sides}", f'type: "Pad" pad_param {{ {options} }}', [bottom],
        lambda bottoms, blobs: [np.pad(bottoms[0], widths, MODES[kind])], opencv="it has no layer of this name", **more,
    )  # fmt: skip


CASES = [
    *(case(kind, f"padtype: {kind} pad: 2", (2, 2, 2, 2)) for kind in MODES),
    *(case(kind, f"type: {kind} pad_l: 1 pad_r: 3 pad_t: 0 pad_b: 2", (1, 3, 0, 2)) for kind in MODES),
    case("REFLECT", "padtype: REFLECT pad: 4", (4, 4, 4, 4)),
    case("REPLICATE", "padtype: REPLICATE pad: 6", (6, 6, 6, 6)),
    case("ZERO", "pad: 0", (0, 0, 0, 0)),
    case("ZERO", "pad_b: 1", (0, 0, 0, 1), (0, 2, 4, 5), gradient=False),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Pad"', [X], 1, "give pad, or"),
    ('type: "Pad" pad_param { pad: 1 pad_l: 1 }', [X], 1, "give pad, or"),
    ('type: "Pad" pad_param { pad: 1 type: ZERO padtype: ZERO }', [X], 1, "keep one"),
    ('type: "Pad" pad_param { pad: 5 padtype: REFLECT }', [X], 1, "cannot be reflected"),
    ('type: "Pad" pad_param { pad: 5 padtype: REPLICATE }', [(1, 2, 0, 5)], 1, "has no pixel"),
    ('type: "Pad" pad_param { pad: 1 }', [(2, 3)], 1, "must have 4 axes"),
])
