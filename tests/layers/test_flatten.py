"""Flatten: ranges of axes from both ends, the inserted axis."""

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def case(options, top, **more):
    return Case(options or "default", f'type: "Flatten" flatten_param {{ {options} }}', [(2, 3, 4, 5)],
                lambda bottoms, blobs: [bottoms[0].reshape(top)], **more)


CASES = [
    case("", (2, 60)),
    case("axis: 0", (120,)),
    case("axis: 0 end_axis: 1", (6, 4, 5)),
    case("axis: -3 end_axis: -2", (2, 12, 5)),
    case("axis: 2 end_axis: 2", (2, 3, 4, 5)),
    case("axis: 3", (2, 3, 4, 5)),
    case("axis: 2 end_axis: 1", (2, 3, 1, 4, 5), opencv="it refuses an end before the start"),
    case("axis: 1 end_axis: 0", (2, 1, 3, 4, 5), opencv="it refuses an end before the start"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Flatten"', [(2,)], 1, "axis 1 is out of range"),
    ('type: "Flatten" flatten_param { axis: 2 end_axis: 0 }', [(2, 3, 4)], 1, "lies before axis 2"),
    ('type: "Flatten" flatten_param { end_axis: 4 }', [(2, 3, 4)], 1, "axis 4 is out of range"),
])
