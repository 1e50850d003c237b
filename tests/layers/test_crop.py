"""Crop: axes, no offset, one for all, one each."""

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (2, 3, 6, 8)


def case(options, reference_shape, window, **more):
    text = f'type: "Crop" crop_param {{ {options} }}'
    return Case(f"{options or 'default'} to {reference_shape}", text, [X, reference_shape],
                lambda bottoms, blobs: [bottoms[0][window]], gradient=(0,), **more)


ALL = slice(None)
CASES = [
    case("", (9, 9, 4, 5), (ALL, ALL, slice(0, 4), slice(0, 5))),
    case("offset: 2", (2, 3, 4, 5), (ALL, ALL, slice(2, 6), slice(2, 7))),
    case("offset: 1 offset: 3", (2, 3, 4, 5), (ALL, ALL, slice(1, 5), slice(3, 8))),
    case("axis: 1 offset: 1 offset: 0 offset: 2", (2, 2, 4, 5), (ALL, slice(1, 3), slice(0, 4), slice(2, 7))),
    case("axis: -1 offset: 2", (2, 3, 9, 5), (ALL, ALL, ALL, slice(2, 7))),
    case("axis: 0 offset: 1", (1, 2, 5, 7), (slice(1, 2), slice(1, 3), slice(1, 6), slice(1, 8)),
         onnx="the batch axis is cut, whose size may not be written down"),
    case("axis: 0 offset: 0 offset: 0 offset: 1 offset: 0", (2, 3, 5, 8), (ALL, ALL, slice(1, 6), ALL)),
    case("", X, ALL),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Crop"', [X, (2, 3, 7, 8)], 1, "axis 2: offset 0 and size 7"),
    ('type: "Crop" crop_param { offset: 4 }', [X, (2, 3, 2, 5)], 1, "axis 3: offset 4 and size 5"),
    ('type: "Crop" crop_param { axis: 1 offset: 1 offset: 1 }', [X, X], 1, "2 offsets for 3 cropped axes"),
    ('type: "Crop"', [X, (2, 3)], 1, "fewer axes"),
    ('type: "Crop" crop_param { axis: 4 }', [X, X], 1, "axis 4 is out of range"),
    ('type: "Crop"', [X], 1, "takes 2 bottom"),
])
