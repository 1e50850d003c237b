"""MultinomialLogisticLoss: probabilities in, the clamp at 1e-20 with its gradient."""

import math

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.loss_definitions import labels
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"
P = np.random.default_rng(3).uniform(0.05, 1, (3, 4))


def reference(bottoms, blobs):
    p = bottoms[0].reshape(len(bottoms[0]), -1)
    given = p[np.arange(len(p)), bottoms[1].ravel().astype(int)]
    return [np.array(-np.log(np.maximum(given, 1e-20)).sum() / len(p))]


CASES = [
    Case("plain", 'type: "MultinomialLogisticLoss"', [P, labels((3,), 4)], reference, onnx=LOSS, opencv=LOSS),
    Case("flattened", 'type: "MultinomialLogisticLoss"', [P.reshape(3, 2, 2, 1), labels((3, 1, 1, 1), 4)], reference,
         onnx=LOSS, opencv=LOSS),
]
test_cases = run(CASES)
test_refused = refusals([('type: "MultinomialLogisticLoss"', [(3, 4), (3, 2)], 1, "one label a prediction")])


def test_clamp_and_range():
    layer = make(Case("l", 'type: "MultinomialLogisticLoss"', [(2, 2), (2,)])).layer("l").double()
    p = torch.tensor([[0.0, 1.0], [0.5, 0.5]], dtype=torch.float64, requires_grad=True)
    loss = layer(p, torch.zeros(2))
    loss.backward()
    assert loss.item() == pytest.approx((-math.log(1e-20) + math.log(2)) / 2)
    assert p.grad[0, 0].item() == pytest.approx(-1e20 / 2) and p.grad[1].tolist() == [-1, 0]
    with pytest.raises(LayerError, match=r"label 2 at \(1,\)"):
        layer(p, torch.tensor([0.0, 2.0]))
