"""RNN: sequences that begin anywhere, a static input, exposed states, and the state kept between calls."""

import numpy as np
import torch

from tests.layers.runner import Case, make, run

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'
CONT = np.array([[0.0, 0], [1, 1], [0, 1], [1, 1]])
GOING_ON = np.array([[1.0, 0], [1, 1], [0, 1], [1, 1]])
X, STATE = (4, 2, 3), (1, 2, 5)
OPENCV = "it has no RNN"


def unrolled(bottoms, blobs, static=False, exposed=False):
    x, cont = bottoms[:2]
    blobs = list(blobs)
    inputs = x.reshape(*x.shape[:2], -1) @ blobs.pop(0).T + blobs.pop(0)
    if static:
        inputs = inputs + bottoms[2].reshape(x.shape[1], -1) @ blobs.pop(0).T
    w_hh, w_ho, b_o = blobs
    h = bottoms[-1][0] if exposed else np.zeros((x.shape[1], len(w_hh)))
    outputs = []
    for t in range(len(x)):
        h = np.tanh(inputs[t] + (cont[t][:, None] * h) @ w_hh.T)
        outputs.append(np.tanh(h @ w_ho.T + b_o))
    return [np.stack(outputs)] + ([h[None]] if exposed else [])


def case(name, bottoms, options="", tops=1, **kinds):
    layer = f'type: "RNN" recurrent_param {{ num_output: 5 {options} {FILLERS} }}'
    return Case(name, layer, bottoms, lambda b, blobs: unrolled(b, blobs, **kinds), tops=tops, opencv=OPENCV,
                gradient=(0, 2) if kinds.get("static") else (0,))


CASES = [
    case("default", [X, CONT]),
    case("static", [X, CONT, (2, 4, 2)], static=True),
    case("exposed", [X, GOING_ON, STATE], "expose_hidden: true", 2, exposed=True),
    case("exposed, static", [X, GOING_ON, (2, 4), STATE], "expose_hidden: true", 2, static=True, exposed=True),
]
test_cases = run(CASES)


def test_the_state_goes_on_until_reset():
    layer = make(CASES[0]).layer("l")
    x, cont = torch.randn(4, 2, 3), torch.ones(4, 2)
    first, second = layer(x, cont), layer(x, cont)
    assert not torch.equal(first, second)
    layer.reset()
    assert torch.equal(layer(x, cont), first)
