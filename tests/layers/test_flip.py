"""Flip: rows, columns, both, neither."""

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (2, 3, 4, 5)


def case(name, options, rows=1, columns=1):
    return Case(name, f'type: "Flip" flip_param {{ {options} }}', [X],
                lambda bottoms, blobs: [bottoms[0][:, :, ::rows, ::columns]], opencv="it has no such layer")  # fmt: skip


CASES = [
    case("neither", ""),
    case("columns", "flip_width: true", columns=-1),
    case("rows", "flip_height: true flip_width: false", rows=-1),
    case("both", "flip_height: true flip_width: true", -1, -1),
]
test_cases = run(CASES)
test_refused = refusals([('type: "Flip"', [(3, 4)], 1, "must have 4 axes")])
