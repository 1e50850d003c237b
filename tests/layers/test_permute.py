"""Permute: whole and partial orders, and orders that cannot be."""

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def case(order, shape, axes, **more):
    fields = " ".join(f"order: {axis}" for axis in order)
    return Case(f"{order or 'none'} of {len(shape)}", f'type: "Permute" permute_param {{ {fields} }}', [shape],
                lambda bottoms, blobs: [bottoms[0].transpose(axes)], **more)


PARTIAL = "it wants the whole order of 4 axes"
CASES = [
    case([0, 2, 3, 1], (2, 3, 4, 5), (0, 2, 3, 1)),
    case([0, 1, 2, 3], (2, 3, 4, 5), (0, 1, 2, 3)),
    case([3, 0, 2, 1], (2, 3, 4, 5), (3, 0, 2, 1)),
    case([1], (2, 3, 5), (1, 0, 2), opencv=PARTIAL),
    case([0, 3], (2, 3, 4, 5), (0, 3, 1, 2), opencv=PARTIAL),
    case([], (2, 3), (0, 1)),
    case([4, 2], (2, 3, 1, 5, 4), (4, 2, 0, 1, 3), opencv=PARTIAL),
    case([0, 2, 1], (0, 3, 2), (0, 2, 1), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Permute" permute_param { order: 0 order: 2 order: 0 }', [(2, 3, 5)], 1, "axis 0 more than once"),
    ('type: "Permute" permute_param { order: 0 order: 3 }', [(2, 3, 5)], 1, "names axis 3, the bottom has 3 axes"),
])
