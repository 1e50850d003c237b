"""Mul: shapes repeated as numpy repeats them, two bottoms or a blob."""

import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run


def two(*shapes, **more):
    return Case(" and ".join(map(str, shapes)), 'type: "Mul"', shapes, lambda b, blobs: [b[0] * b[1]],
                opencv="it has no Mul", **more)


CASES = [
    two((2, 3, 4, 5), (2, 3, 4, 5)),
    two((2, 3, 4, 5), (2, 3, 1, 1)),
    two((2, 3, 1, 5), (2, 1, 4, 5)),
    two((4, 5), (2, 3, 4, 5)),
    two((2, 3, 4), (4,)),
    Case("a blob", 'type: "Mul" mul_param { mul_shape: 3 mul_shape: 1 }', [(2, 3, 4)],
         lambda b, blobs: [b[0] * blobs[0]], opencv="it has no Mul", onnx_in=True),
]
test_cases = run(CASES)
test_refused = refusals([('type: "Mul"', [(2, 3), (2, 4)], 1, "differ in an axis that has size 1 in neither")])


def test_the_blob():
    layer = make(CASES[-1]).layer("l")
    with torch.no_grad():
        layer.factor.copy_(torch.tensor([[2.0], [3.0], [4.0]]))
    assert layer(torch.ones(2, 3, 4))[1, :, 2].tolist() == [2, 3, 4]
