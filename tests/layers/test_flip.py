"""Flip: rows, columns, both, neither."""

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (2, 2, 3, 4)


def case(name, options, rows=1, columns=1):
    def tops(bottoms, blobs):
        return [bottoms[0][:, :, ::rows, ::columns]]

    return Case(name, f'type: "Flip" flip_param {{ {options} }}', [X], tops, opencv="it has no such layer")


CASES = [
    case("neither", ""),
    case("columns", "flip_width: true", columns=-1),
    case("rows", "flip_height: true flip_width: false", rows=-1),
    case("both", "flip_height: true flip_width: true", -1, -1),
]
test_cases = run(CASES)
test_refused = refusals([('type: "Flip"', [(3, 4)], 1, "must have 4 axes")])
