"""Reduction: four operations over three tails, with and without a coefficient."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

NONE = "it has no Reduction of Caffe's"
OPERATIONS = {
    "SUM": lambda x: x.sum(-1),
    "ASUM": lambda x: np.abs(x).sum(-1),
    "SUMSQ": lambda x: (x * x).sum(-1),
    "MEAN": lambda x: x.mean(-1),
}


def case(operation, axis, coeff):
    def reference(bottoms, blobs):
        (x,) = bottoms
        return [coeff * OPERATIONS[operation](x.reshape((*x.shape[:axis], -1)))]

    text = f'type: "Reduction" reduction_param {{ operation: {operation} axis: {axis} coeff: {coeff} }}'
    return Case(f"{coeff} {operation} from {axis}", text, [(2, 3, 5, 7)], reference, opencv=NONE)


CASES = [
    *(case(operation, axis, coeff) for operation in OPERATIONS for axis, coeff in ((0, 1), (1, -2.5), (-1, 1))),
    Case("default", 'type: "Reduction"', [(4, 3)], lambda bottoms, blobs: [bottoms[0].sum()],
         opencv=NONE),
]
test_cases = run(CASES)
test_refused = refusals([('type: "Reduction" reduction_param { axis: 2 }', [(2, 3)], 1, "axis 2 is out of range")])


def test_edges():
    asum = make(Case("l", 'type: "Reduction" reduction_param { operation: ASUM }', [(3,)])).layer("l")
    x = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    asum(x).backward()
    assert x.grad.tolist() == [-1, 0, 1]
    mean = make(Case("l", 'type: "Reduction" reduction_param { operation: MEAN axis: 1 }', [(2, 0)])).layer("l")
    assert torch.isnan(mean(torch.zeros(2, 0))).all()
