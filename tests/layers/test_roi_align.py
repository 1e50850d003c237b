"""ROIAlign: samples from the definition, at borders and beyond."""

import math

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.detection import gradients
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

X = (2, 3, 9, 11)
INSIDE = np.array([[0, 0, 0, 10, 8], [1, 2.3, 3.1, 6.7, 5.2], [0, 4, 4, 4, 4], [1, 1.5, 0.5, 9, 2.4]], float)


def sample(x, at_y, at_x):
    h, w = x.shape[1:]
    if not (-1 <= at_y <= h and -1 <= at_x <= w):
        return 0
    at_y, at_x = min(max(at_y, 0), h - 1), min(max(at_x, 0), w - 1)
    y, z = min(int(at_y), max(h - 2, 0)), min(int(at_x), max(w - 2, 0))
    v, u = at_y - y, at_x - z
    below, right = min(y + 1, h - 1), min(z + 1, w - 1)
    return (x[:, y, z] * (1 - v) * (1 - u) + x[:, y, right] * (1 - v) * u
            + x[:, below, z] * v * (1 - u) + x[:, below, right] * v * u)


def reference(h, w, scale=1.0):
    def tops(bottoms, blobs):
        x, rois = bottoms
        out = np.zeros((len(rois), x.shape[1], h, w))
        for r, (image, *corners) in enumerate(rois):
            x1, y1, x2, y2 = (v * scale for v in corners)
            high, wide = max(y2 - y1, 1) / h, max(x2 - x1, 1) / w
            down, across = math.ceil(high), math.ceil(wide)
            for i, j, k, m in np.ndindex(h, w, down, across):
                at = y1 + i * high + (k + 0.5) * high / down, x1 + j * wide + (m + 0.5) * wide / across
                out[r, :, i, j] += sample(x[int(image)], *at) / (down * across)
        return [out]

    return tops


def case(name, h, w, rois, scale=1.0, features=X, **more):
    return Case(name, f'type: "ROIAlign" roi_align_param {{ pooled_h: {h} pooled_w: {w} spatial_scale: {scale} }}',
                [features, rois], reference(h, w, scale), opencv="it has no ROIAlign", **{"gradient": False, **more})


CASES = [
    case("inside", 2, 3, INSIDE),
    case("one image", 2, 3, INSIDE * [0, 1, 1, 1, 1], features=(1, 3, 9, 11)),
    case("scaled", 3, 2, INSIDE * [1, 16, 16, 16, 16] + [0, 7, 8, 8.5, -8], 0.0625),
    case("one bin", 1, 1, INSIDE),
    case("more bins than pixels", 7, 7, INSIDE),
    case("across the border", 4, 3, np.array([[0, -5, -3, 4, 5], [1, 6, 5, 20, 12]], float)),
    case("outside and inverted", 2, 2, np.array([[0, 30, 2, 40, 5], [0, 6, 6, 2, 1], [1, -9, -9, -3, -2]], float)),
    case("a single pixel", 2, 2, np.array([[0, -0.5, -1, 3, 1]], float), features=(1, 2, 1, 1)),
    case("small", 2, 2, np.array([[0, 1.2, 0.3, 3, 2]], float), features=(1, 2, 3, 4), gradient=True),
    case("no region", 2, 3, np.zeros((0, 5))),
]
test_cases = run(CASES, onnx_in="regions are pooled by a fork's layer only, ROIAlign")
test_gradient = gradients(CASES[:-1])
TWO = 'type: "ROIAlign" roi_align_param { pooled_h: 2 pooled_w: 2 }'
test_refused = refusals([
    ('type: "ROIAlign" roi_align_param { pooled_w: 2 }', [X, (4, 5)], 1, "give pooled_h and pooled_w"),
    (TWO, [X, (4, 4)], 1, r"regions must be \(R, 5\)"),
    (TWO, [(2, 3, 0, 4), (4, 5)], 1, "features must have 4 axes"),
])


def test_an_image_that_is_not_there():
    layer = make(CASES[0]).layer("l")
    with pytest.raises(LayerError, match="layer 'l'.*region 0 lies in image 2; there are 2"):
        layer(torch.zeros(X), torch.tensor([[2.0, 0, 0, 3, 3]]))
