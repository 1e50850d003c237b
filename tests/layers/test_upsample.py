"""Upsample: repeated pixels; and with the mask of a pooling, every way to give the size, values that meet."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

X = (1, 2, 4, 5)
NO_LAYER = "it has no layer of this name"


def mask(shape, area, repeats=False, seed=5):
    """Places in planes of `area`, each once in its plane, or some more than once."""
    rng = np.random.default_rng(seed)
    n, c, h, w = shape
    rows = [rng.choice(area, h * w, replace=repeats) for _ in range(n * c)]
    return np.array(rows, float).reshape(shape)


def placed(height, width):
    def tops(bottoms, blobs):
        x, places = bottoms
        y = np.zeros((*x.shape[:2], height * width))
        for i in np.ndindex(*x.shape):
            y[i[0], i[1], int(places[i])] = x[i]
        return [y.reshape(*x.shape[:2], height, width)]

    return tops


def repeated(scale):
    return lambda bottoms, blobs: [np.kron(bottoms[0], np.ones((1, 1, scale, scale)))]


def case(name, options, bottoms, reference, **more):
    return Case(name, f'type: "Upsample" upsample_param {{ {options} }}', bottoms, reference, **more)


def masked(name, options, size, bottom=X, repeats=False, **more):
    places = mask(bottom, size[0] * size[1], repeats)
    return case(name, options, [bottom, places], placed(*size), opencv=NO_LAYER,
                onnx_in="no stock layer writes to computed places", **more)


CASES = [
    case("twice", "scale: 2", [X], repeated(2), opencv=NO_LAYER),
    case("three times", "scale: 3", [(1, 3, 5, 2)], repeated(3), opencv=NO_LAYER),
    case("once", "", [X], repeated(1), opencv=NO_LAYER),
    masked("mask", "", (8, 10)),
    masked("mask, scale", "scale: 3", (12, 15)),
    masked("mask, scales", "scale_h: 2 scale_w: 3", (8, 15)),
    masked("mask, odd planes", "pad_out_h: true pad_out_w: true", (7, 9)),
    masked("mask, size", "scale: 2 upsample_h: 6 upsample_w: 11", (6, 11)),
    masked("values meet", "", (8, 10), repeats=True, gradient=False),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Upsample" upsample_param { scale: 1.5 }', [X], 1, "scale 1.5; whole numbers"),
    ('type: "Upsample" upsample_param { upsample_h: 3 upsample_w: 4 }', [X], 1, "belongs to the layer with a mask"),
    ('type: "Upsample" upsample_param { upsample_h: 3 }', [X, X], 1, "belong together"),
    ('type: "Upsample" upsample_param { scale: 2 scale_h: 3 scale_w: 3 }', [X, X], 1, "not both"),
    ('type: "Upsample" upsample_param { scale: 3 pad_out_h: true }', [X, X], 1, "a scale of 2 only, not 3"),
    ('type: "Upsample" upsample_param { }', [X, (1, 2, 4, 4)], 1, "must be as large as the bottom"),
    ('type: "Upsample" upsample_param { scale: 2 }', [(2, 3)], 1, "must have 4 axes"),
])


def layer_of(*places, size=(2, 3)):
    bottom = (1, 1, 1, len(places))
    text = f'type: "Upsample" upsample_param {{ upsample_h: {size[0]} upsample_w: {size[1]} }}'
    return make(Case("l", text, [bottom, bottom])).layer("l"), torch.tensor(places).reshape(bottom)


def test_the_later_value_shows_and_both_get_its_gradient():
    layer, places = layer_of(4.0, 1.0, 4.0)
    x = torch.tensor([7.0, 8.0, 9.0]).reshape(1, 1, 1, 3).requires_grad_()
    top = layer(x, places)
    assert top.flatten().tolist() == [0, 8, 0, 0, 9, 0]
    (top * torch.arange(6.0).reshape(2, 3)).sum().backward()
    assert x.grad.flatten().tolist() == [4, 1, 4]


def test_minus_one_goes_nowhere():
    layer, places = layer_of(-1.0, 5.0)
    x = torch.tensor([7.0, 8.0]).reshape(1, 1, 1, 2).requires_grad_()
    top = layer(x, places)
    top.sum().backward()
    assert top.flatten().tolist() == [0, 0, 0, 0, 0, 8] and x.grad.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("place", [6.0, -2.0])
def test_a_place_outside(place):
    layer, places = layer_of(0.0, place)
    with pytest.raises(LayerError, match=rf"^layer 'l' \(Upsample\): the mask names place {place:.0f} at \(0, 0, 0,"):
        layer(torch.zeros(1, 1, 1, 2), places)


def test_it_undoes_a_pooling():
    """The mask is that of our own Pooling: pooling the result gives the pooled values again."""
    pool = make(Case("l", 'type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }', [(1, 2, 8, 10)], tops=2))
    top, places = pool.layer("l")(torch.rand(1, 2, 8, 10) + 1)
    up = make(case("l", "scale: 2", [X, X], None)).layer("l")(top, places)
    assert up.shape == (1, 2, 8, 10) and (up > 0).sum() == top.numel()
    assert torch.equal(pool.layer("l")(up)[0], top)
