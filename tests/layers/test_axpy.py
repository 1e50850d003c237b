"""Axpy: weights as (N, C, 1, 1) and as (N, C), over pictures and rows."""

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (2, 3, 1, 4)


def reference(bottoms, blobs):
    a, x, y = bottoms
    return [a.reshape(*x.shape[:2], *[1] * (x.ndim - 2)) * x + y]


FAILS = "it fails on its own rewriting of the layer"
CASES = [
    Case("as SENet", 'type: "Axpy"', [(2, 3, 1, 1), X, X], reference, opencv=FAILS),
    Case("vectors of weights", 'type: "Axpy"', [(2, 3), X, X], reference, opencv=FAILS),
    Case("rows", 'type: "Axpy"', [(2, 3), (2, 3, 4), (2, 3, 4)], reference, opencv=FAILS),
    Case("a message without options", 'type: "Axpy" axpy_param { }', [(2, 3, 1, 1), X, X], reference, opencv=FAILS),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Axpy"', [(2, 3, 1, 1), X], 1, "takes 3 bottom"),
    ('type: "Axpy"', [(2, 4, 1, 1), X, X], 1, "one weight for each channel"),
    ('type: "Axpy"', [(2, 3, 2, 4), X, X], 1, "one weight for each channel"),
    ('type: "Axpy"', [(2, 3, 1, 1), X, (2, 3, 1, 1)], 1, "must have one shape"),
])
