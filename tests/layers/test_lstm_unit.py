"""LSTMUnit: the step, with sequences that begin and that go on."""

import numpy as np
import pytest

from caffe_port.errors import ShapeError
from tests.layers.runner import Case, make, run

CONT = np.array([[0.0, 1, 1, 0]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(bottoms, blobs):
    cell, gates, cont = bottoms
    i, f, o, g = np.split(gates, 4, 2)
    cell = cont[..., None] * sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return [cell, sigmoid(o) * np.tanh(cell)]


OPENCV = "it has no LSTMUnit"
CASES = [
    Case("default", 'type: "LSTMUnit"', [(1, 4, 5), (1, 4, 20), CONT], reference, tops=2, opencv=OPENCV),
    Case("large gates", 'type: "LSTMUnit"', [np.full((1, 4, 1), 3.0), np.linspace(-90, 90, 16).reshape(1, 4, 4), CONT],
         reference, tops=2, opencv=OPENCV),
]
test_cases = run(CASES)


@pytest.mark.parametrize("bottoms", [
    [(2, 4, 5), (2, 4, 20), (2, 4)],
    [(1, 4, 5), (1, 4, 15), (1, 4)],
    [(1, 4, 5), (1, 3, 20), (1, 4)],
    [(1, 4, 5), (1, 4, 20), (1, 4, 1)],
])
def test_shapes_that_do_not_fit(bottoms):
    with pytest.raises(ShapeError, match="bottoms must be"):
        make(Case("l", 'type: "LSTMUnit"', bottoms, tops=2))
