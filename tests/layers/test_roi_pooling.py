"""ROIPooling: regions within, across and outside the features; ties; NaN; the image that is not there."""

import math

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.detection import gradients
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LEAST = float(np.finfo(np.float32).min)
X = (2, 3, 9, 11)
INSIDE = np.array([[0, 0, 0, 10, 8], [1, 2, 3, 6, 5], [0, 4, 4, 4, 4], [1, 1, 0, 9, 2]], float)


def away(x):
    return math.floor(abs(x) + 0.5) * (1 if x > 0 else -1)


def cut(first, last, length):
    return min(max(first, 0), length), min(max(last, 0), length)


def reference(h, w, scale=1.0, pad=0.0):
    def tops(bottoms, blobs):
        x, rois = bottoms[0], bottoms[1].reshape(-1, 5)
        out = np.zeros((len(rois), x.shape[1], h, w))
        for r, (image, *corners) in enumerate(rois):
            wide, high = (corners[i + 2] - corners[i] + 1 for i in (0, 1))
            grown = [corners[0] - pad * wide, corners[1] - pad * high, corners[2] + pad * wide, corners[3] + pad * high]
            x1, y1, x2, y2 = (away(v * scale) for v in grown)
            high, wide = max(y2 - y1 + 1, 1) / h, max(x2 - x1 + 1, 1) / w
            for i in range(h):
                for j in range(w):
                    top, bottom = cut(math.floor(i * high) + y1, math.ceil((i + 1) * high) + y1, x.shape[2])
                    left, right = cut(math.floor(j * wide) + x1, math.ceil((j + 1) * wide) + x1, x.shape[3])
                    if bottom > top and right > left:
                        out[r, :, i, j] = x[int(image), :, top:bottom, left:right].max((1, 2))
        return [out]

    return tops


def case(name, h, w, rois, scale=1.0, features=X, pad=0.0, **more):
    options = f"pooled_h: {h} pooled_w: {w} spatial_scale: {scale}" + f" pad_ratio: {pad}" * (pad > 0)
    return Case(name, f'type: "ROIPooling" roi_pooling_param {{ {options} }}', [features, rois],
                reference(h, w, scale, pad), **{"gradient": False, **more})


CASES = [
    case("inside", 2, 3, INSIDE),
    case("scaled", 3, 2, INSIDE * [1, 16, 16, 16, 16] + [0, 7, 8, 8.5, -8], 0.0625),
    case("one bin", 1, 1, INSIDE),
    case("more bins than pixels", 7, 7, INSIDE),
    case("across the border", 4, 3, np.array([[0, -5, -3, 4, 5], [1, 6, 5, 20, 12]], float)),
    case("outside and inverted", 2, 2, np.array([[0, 30, 2, 40, 5], [0, 6, 6, 2, 1], [1, -9, -9, -3, -2]], float)),
    case("halves", 2, 2, np.array([[0, 0.5, 1.5, 4.5, 6.5], [1, -0.5, 2.5, 5.5, 7.5]], float)),
    case("four axes", 2, 3, INSIDE.reshape(4, 5, 1, 1)),
    case("padded", 3, 2, INSIDE * [1, 4, 4, 4, 4], 0.25, pad=0.3, opencv="it drops pad_ratio"),
    case("small", 2, 2, np.array([[0, 1, 0, 3, 2]], float), features=(1, 2, 3, 4), gradient=True),
    case("no region", 2, 3, np.zeros((0, 5)), opencv="it has no empty blobs"),
]
test_cases = run(CASES, onnx_in="regions are pooled by a fork's layer only, ROIPooling")
test_gradient = gradients(CASES[:-1])
TWO = 'type: "ROIPooling" roi_pooling_param { pooled_h: 2 pooled_w: 2 }'
test_refused = refusals([
    ('type: "ROIPooling" roi_pooling_param { pooled_h: 2 }', [X, (4, 5)], 1, "give pooled_h and pooled_w"),
    (TWO, [X, (4, 4)], 1, r"regions must be \(R, 5\)"),
    (TWO, [(2, 3), (4, 5)], 1, "features must have 4 axes"),
    (TWO, [X], 1, "takes 2 bottom"),
])


@pytest.mark.parametrize("image", [-1, 2])
def test_an_image_that_is_not_there(image):
    layer = make(CASES[0]).layer("l")
    with pytest.raises(LayerError, match=rf"layer 'l'.*region 1 lies in image {image}; there are 2"):
        layer(torch.zeros(X), torch.tensor([[0.0, 0, 0, 3, 3], [image, 0, 0, 3, 3]]))


def test_the_first_of_equal_pixels_gets_the_gradient():
    layer = make(case("l", 1, 1, np.zeros((1, 5)))).layer("l")
    x = torch.zeros(2, 3, 9, 11)
    x[0, 0, 4, 5] = x[0, 0, 4, 7] = x[0, 0, 6, 2] = 1
    x.requires_grad_()
    layer(x, torch.tensor([[0.0, 1, 2, 9, 8]])).sum().backward()
    assert x.grad[0, 0].nonzero().tolist() == [[4, 5]]
    assert x.grad[0, 1].nonzero().tolist() == [[2, 1]]


def test_nan_never_wins():
    layer = make(case("l", 1, 1, np.zeros((1, 5)))).layer("l")
    x = torch.full(X, torch.nan)
    x[0, 0, 3, 3] = -7
    assert layer(x, torch.tensor([[0.0, 0, 0, 10, 8]])).flatten().tolist() == [-7, LEAST, LEAST]
