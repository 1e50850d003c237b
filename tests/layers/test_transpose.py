"""Transpose: orders of the axes, and what is none."""

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (4, 2, 3)


def case(name, order, bottom=X):
    dims = " ".join(f"dim: {d}" for d in order)
    return Case(name, f'type: "Transpose" transpose_param {{ {dims} }}', [bottom],
                lambda bottoms, blobs: [bottoms[0].transpose(order)], opencv="it has no such layer")  # fmt: skip


CASES = [
    case("CRNN", (3, 0, 1, 2), (2, 3, 1, 5)),
    case("turned", (2, 0, 1)),
    case("as it is", (0, 1, 2)),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Transpose"', [X], 1, "must name each of the 3 axes"),
    ('type: "Transpose" transpose_param { dim: 0 dim: 1 }', [X], 1, "must name each of the 3 axes"),
    ('type: "Transpose" transpose_param { dim: 0 dim: 1 dim: 1 }', [X], 1, "must name each of the 3 axes"),
    ('type: "Transpose" transpose_param { dim: 0 dim: 1 dim: 3 }', [X], 1, "must name each of the 3 axes"),
])
