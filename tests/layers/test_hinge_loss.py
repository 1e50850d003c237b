"""HingeLoss: L1 and L2, classes on several axes, the kink."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.loss_definitions import labels
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"


def reference(power):
    def compute(bottoms, blobs):
        x = bottoms[0].reshape(len(bottoms[0]), -1)
        side = -np.ones(x.shape)
        side[np.arange(len(x)), bottoms[1].ravel().astype(int)] = 1
        return [np.array((np.maximum(0, 1 - side * x) ** power).sum() / len(x))]

    return compute


def case(name, options, scores, wanted, power):
    return Case(name, f'type: "HingeLoss" {options}', [scores, wanted], reference(power), onnx=LOSS, opencv=LOSS)


CASES = [
    case("default", "", (3, 4), labels((3,), 4), 1),
    case("L2", "hinge_loss_param { norm: L2 }", (3, 4), labels((3, 1, 1, 1), 4), 2),
    case("classes on three axes", "hinge_loss_param { norm: L2 }", (3, 2, 1, 5), labels((3,), 10), 2),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "HingeLoss"', [(3, 4), (3, 2)], 1, "one label a prediction"),
    ('type: "HingeLoss"', [(3, 4), (2,)], 1, "same first dimension"),
])


def test_no_gradient_at_the_kink_and_no_label_out_of_range():
    layer = make(Case("l", 'type: "HingeLoss"', [(1, 3), (1,)])).layer("l")
    x = torch.tensor([[1.0, -1.0, 0.0]], requires_grad=True)
    layer(x, torch.zeros(1)).backward()
    assert x.grad.tolist() == [[0, 0, 1]]
    with pytest.raises(LayerError, match=r"label 3 at \(0,\)"):
        layer(x, torch.full((1,), 3.0))
