"""LSTM: sequences that begin anywhere, a static input, exposed states, and the state kept between calls."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError, ShapeError
from tests.layers.runner import Case, make, run

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'
CONT = np.array([[0.0, 0], [1, 1], [0, 1], [1, 1]])
GOING_ON = np.array([[1.0, 0], [1, 1], [0, 1], [1, 1]])
X, STATE = (4, 2, 3), (1, 2, 5)
OPENCV = "its LSTM has other blobs and no cont"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def unrolled(bottoms, blobs, static=False, exposed=False):
    x, cont = bottoms[:2]
    blobs = list(blobs)
    gates = x.reshape(*x.shape[:2], -1) @ blobs.pop(0).T + blobs.pop(0)
    if static:
        gates = gates + bottoms[2].reshape(x.shape[1], -1) @ blobs.pop(0).T
    (w,) = blobs
    h, c = (b[0] for b in bottoms[-2:]) if exposed else (np.zeros((x.shape[1], w.shape[1])),) * 2
    outputs = []
    for t in range(len(x)):
        i, f, o, g = np.split(gates[t] + (cont[t][:, None] * h) @ w.T, 4, 1)
        c = cont[t][:, None] * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return [np.stack(outputs)] + ([h[None], c[None]] if exposed else [])


def case(name, bottoms, options="", tops=1, **kinds):
    layer = f'type: "LSTM" recurrent_param {{ num_output: 5 {options} {FILLERS} }}'
    return Case(name, layer, bottoms, lambda b, blobs: unrolled(b, blobs, **kinds), tops=tops, opencv=OPENCV,
                gradient=(0, 2) if kinds.get("static") else (0,))


CASES = [
    case("default", [X, CONT]),
    case("features of two axes", [(4, 2, 3, 2), CONT]),
    case("static", [X, CONT, (2, 4)], static=True),
    case("exposed", [X, GOING_ON, STATE, STATE], "expose_hidden: true", 3, exposed=True),
    case("exposed, static", [X, GOING_ON, (2, 4), STATE, STATE], "expose_hidden: true", 3, static=True, exposed=True),
    case("one step", [(1, 2, 3), CONT[:1]]),
]
test_cases = run(CASES)


def test_the_state_goes_on_until_reset():
    layer = make(CASES[0]).double().layer("l")
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    cont = torch.ones(4, 2, dtype=torch.float64)
    first, second = layer(x, cont), layer(x, cont)
    assert not torch.equal(first, second)
    layer.reset()
    assert torch.equal(layer(x, cont), first)
    layer.reset()
    both = make(case("l", [(8, 2, 3), np.ones((8, 2))])).double().layer("l")
    both.load_state_dict(layer.state_dict())
    torch.testing.assert_close(both(torch.cat([x, x]), torch.cat([cont, cont])), torch.cat([first, second]))


def test_another_number_of_streams_begins_anew():
    layer = make(CASES[0]).layer("l")
    layer(torch.randn(4, 2, 3), torch.ones(4, 2))
    x = torch.randn(4, 3, 3)
    grown = layer(x, torch.ones(4, 3))
    layer.reset()
    assert torch.equal(layer(x, torch.ones(4, 3)), grown)


def test_no_gradient_enters_or_leaves_a_state():
    layer = make(CASES[3]).layer("l")
    h, c = (torch.randn(1, 2, 5, requires_grad=True) for _ in range(2))
    top, last_h, last_c = layer(torch.randn(4, 2, 3), torch.ones(4, 2), h, c)
    assert not last_h.requires_grad and not last_c.requires_grad
    top.sum().backward()
    assert h.grad is None and c.grad is None


@pytest.mark.parametrize(("bottoms", "options", "tops", "message"), [
    ([(4, 2), (4, 2)], "", 1, "x must be"),
    ([X, (4, 3)], "", 1, "x must be"),
    ([X, (4, 2), (3, 4)], "", 1, "static input must be"),
    ([X, (4, 2), (2, 4), (2, 4)], "", 1, "2 or 3 bottoms, not 4"),
    ([X, (4, 2), STATE], "expose_hidden: true", 3, "4 or 5 bottoms, not 3"),
    ([X, (4, 2), STATE, (1, 2, 4)], "expose_hidden: true", 3, "exposed states must be"),
    ([X, (4, 2)], "", 3, "has 1 tops, not 3"),
])
def test_shapes_that_do_not_fit(bottoms, options, tops, message):
    with pytest.raises(LayerError, match=message):
        make(case("l", bottoms, options, tops))


def test_num_output_is_required():
    with pytest.raises(LayerError, match="num_output"):
        make(Case("l", 'type: "LSTM"', [X, (4, 2)]))


def test_the_number_of_steps_is_fixed():
    net = make(CASES[0])
    with pytest.raises(ShapeError, match="4 steps"):
        net.reshape({"b0": (3, 2, 3), "b1": (3, 2)})


def test_multiply_adds():
    layer = make(CASES[2]).layer("l")
    assert layer.macs([X, (4, 2), (2, 4)], [(4, 2, 5)]) == 2 * (4 * 20 * (3 + 5) + 20 * 4)
