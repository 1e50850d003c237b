"""FlowWarp: flows inside, across the border and far outside, whole pixels, NaN; one row, one column."""

import numpy as np
import pytest
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

X = (2, 1, 3, 4)


def reference(fill=0.0):
    def tops(bottoms, blobs):
        image, flow = bottoms
        n, _, h, w = image.shape
        y = np.full(image.shape, fill)
        for b, i, j in np.ndindex(n, h, w):
            c, r = j + flow[b, 0, i, j], i + flow[b, 1, i, j]
            if not (0 <= c < w and 0 <= r < h):
                continue
            left, top = int(c), int(r)
            right, bottom = min(left + 1, w - 1), min(top + 1, h - 1)
            p, q = r - top, c - left
            y[b, :, i, j] = (1 - p) * ((1 - q) * image[b, :, top, left] + q * image[b, :, top, right]) + p * (
                (1 - q) * image[b, :, bottom, left] + q * image[b, :, bottom, right]
            )
        return [y]

    return tops


def flow(shape, scale, seed=2):
    """Far enough from whole pixels for numerical derivatives."""
    values = np.random.default_rng(seed).normal(scale=scale, size=(shape[0], 2, *shape[2:]))
    return np.floor(values) + np.clip(values - np.floor(values), 0.05, 0.95)


def case(name, moves, options="", shape=X, fill=0.0, **more):
    text = f'type: "FlowWarp" flow_warp_param {{ {options} }}'
    return Case(name, text, [shape, moves], reference(fill), **more)


NAN = "fill_value: NOT_A_NUMBER"
STRANGE = np.array([[[[0.5, np.nan, np.inf]], [[0, 0, 0]]]])
CASES = [
    case("near", flow(X, 0.7)),
    case("far", flow(X, 3)),
    case("NaN outside", flow(X, 3), NAN, fill=np.nan, gradient=False, opencv="it shows 0 outside"),
    case("still", np.zeros((2, 2, 3, 4)), gradient=False),
    case("whole pixels", np.ones((2, 2, 3, 4)), gradient=False),
    case("one row", flow((2, 3, 1, 5), 0.7), shape=(2, 3, 1, 5)),
    case("one pixel", flow((2, 3, 1, 1), 0.7), shape=(2, 3, 1, 1)),
    case("strange flow", STRANGE, shape=(1, 2, 1, 3), gradient=False),
]
test_cases = run(CASES, onnx_in="no stock layer reads at computed places")
test_refused = refusals([
    ('type: "FlowWarp"', [X, (2, 3, 3, 4)], 1, r"wants a flow \(N, 2, H, W\)"),
    ('type: "FlowWarp"', [X, (2, 2, 4, 3)], 1, "wants a flow"),
    ('type: "FlowWarp"', [X], 1, "takes 2 bottom"),
])


@pytest.mark.parametrize(("options", "fill"), [("", 0.0), (NAN, float("nan"))])
def test_outside_gives_no_gradient(options, fill):
    layer = make(case("l", np.zeros((2, 2, 3, 4)), options)).layer("l")
    image, moves = torch.randn(1, 1, 2, 2, requires_grad=True), torch.full((1, 2, 2, 2), 9.0, requires_grad=True)
    top = layer(image, moves)
    top.nansum().backward()
    assert np.array_equal(top.detach().flatten(), [fill] * 4, equal_nan=True)
    assert not image.grad.any() and not moves.grad.any()


def test_at_whole_pixels_the_derivative_looks_right_and_down():
    layer = make(case("l", np.zeros((2, 2, 3, 4)))).layer("l")
    image, moves = torch.tensor([[[[1.0, 4], [9, 20]]]]), torch.zeros(1, 2, 2, 2, requires_grad=True)
    layer(image, moves).sum().backward()
    assert moves.grad.flatten().tolist() == [3, 0, 11, 0, 8, 16, 0, 0]
