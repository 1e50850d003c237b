"""Warp: FlowWarp's cases with PWC-Net's border, and its derivative at whole pixels."""

import numpy as np
import pytest
import torch

from converters.onnx_model import export
from tests.layers.runner import Case, make, run
from tests.layers.test_flow_warp import X, flow


def reference(bottoms, blobs):
    image, moves = bottoms
    n, _, h, w = image.shape
    y = np.zeros(image.shape)
    for b, i, j in np.ndindex(n, h, w):
        c, r = j + moves[b, 0, i, j], i + moves[b, 1, i, j]
        if 0 <= c <= w - 1 and 0 <= r <= h - 1:
            for row, column in ((a, e) for a in range(h) for e in range(w)):
                share = max(0, 1 - abs(row - r)) * max(0, 1 - abs(column - c))
                y[b, :, i, j] += share * image[b, :, row, column]
    return [y]


def case(name, moves, shape=X, **more):
    return Case(name, 'type: "Warp"', [shape, moves], reference, opencv="it has no Warp", **more)


CASES = [
    case("near", flow(X, 0.7)),
    case("far", flow(X, 3)),
    case("still", np.zeros((2, 2, 3, 4)), gradient=False),
    case("whole pixels", np.ones((2, 2, 3, 4)), gradient=False),
    case("one row", flow((2, 3, 1, 5), 0.7), (2, 3, 1, 5)),
    case("strange flow", np.array([[[[0.5, np.nan, np.inf]], [[0, 0, 0]]]]), (1, 2, 1, 3), gradient=False),
]
test_cases = run(CASES, onnx_in="no stock layer reads at computed places")


def test_at_whole_pixels_the_derivative_is_the_mean_of_both_sides():
    """Central differences inside, half of the one difference at the border, each along a line of values."""
    layer = make(case("l", np.zeros((1, 2, 1, 4)), (1, 1, 1, 4))).layer("l")
    line = torch.tensor([1.0, 4, 9, 20])
    moves = torch.zeros(1, 2, 1, 4, requires_grad=True)
    layer(line.reshape(1, 1, 1, 4), moves).sum().backward()
    assert moves.grad.flatten().tolist() == [1.5, 4, 8, 5.5, 0, 0, 0, 0]
    image, down = line.reshape(1, 1, 4, 1).requires_grad_(), torch.zeros(1, 2, 4, 1, requires_grad=True)
    layer(image, down).sum().backward()
    assert down.grad.flatten().tolist() == [0, 0, 0, 0, 1.5, 4, 8, 5.5] and image.grad.unique().tolist() == [1]


@pytest.mark.parametrize("kind", ["Warp", "FlowWarp"])
def test_onnx_has_no_constant_that_nobody_reads(kind):
    made = export(make(Case("l", f'type: "{kind}"', [X, (2, 2, 3, 4)])))
    assert set(made.initializers) <= {name for node in made.model.graph.node for name in node.input}
