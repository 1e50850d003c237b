"""PSROIPooling: every bin from its own channels, regions across borders, empty bins."""

import math

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.detection import gradients
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

INSIDE = np.array([[0, 0, 0, 10, 8], [1, 2, 3, 6, 5], [0, 4, 4, 4, 4], [1, 1.5, 0.5, 9, 2.4]], float)


def away(x):
    return math.floor(abs(x) + 0.5) * (1 if x > 0 else -1)


def cut(first, last, length):
    return min(max(first, 0), length), min(max(last, 0), length)


def reference(d, g, scale=1.0):
    def tops(bottoms, blobs):
        x, rois = bottoms
        out = np.zeros((len(rois), d, g, g))
        for r, (image, x1, y1, x2, y2) in enumerate(rois):
            x1, y1, x2, y2 = away(x1) * scale, away(y1) * scale, (away(x2) + 1) * scale, (away(y2) + 1) * scale
            high, wide = max(y2 - y1, 0.1) / g, max(x2 - x1, 0.1) / g
            for c, i, j in np.ndindex(d, g, g):
                top, bottom = cut(math.floor(i * high + y1), math.ceil((i + 1) * high + y1), x.shape[2])
                left, right = cut(math.floor(j * wide + x1), math.ceil((j + 1) * wide + x1), x.shape[3])
                if bottom > top and right > left:
                    out[r, c, i, j] = x[int(image), (c * g + i) * g + j, top:bottom, left:right].mean()
        return [out]

    return tops


def case(name, d, g, rois, scale=1.0, images=2, size=(9, 11), **more):
    param = f"psroi_pooling_param {{ output_dim: {d} group_size: {g} spatial_scale: {scale} }}"
    return Case(name, f'type: "PSROIPooling" {param}', [(images, d * g * g, *size), rois], reference(d, g, scale),
                **{"gradient": False, **more})


ONE = INSIDE * [0, 1, 1, 1, 1]
CASES = [
    case("inside", 2, 3, INSIDE),
    case("one image", 2, 3, ONE, images=1),
    case("scaled", 3, 2, INSIDE * [1, 16, 16, 16, 16] + [0, 7, 8, 8.5, -8], 0.0625),
    case("one bin", 4, 1, INSIDE),
    case("across the border", 1, 4, np.array([[0, -5, -3, 4, 5], [1, 6, 5, 20, 12]], float)),
    case("outside and inverted", 2, 2, np.array([[0, 30, 2, 40, 5], [0, 6, 6, 2, 1], [1, -9, -9, -3, -2]], float)),
    case("small", 1, 2, np.array([[0, 1, 0, 3, 2]], float), images=1, size=(3, 4), gradient=True),
    case("no region", 2, 3, np.zeros((0, 5)), opencv="it has no empty blobs"),
]
test_cases = run(CASES, onnx_in="no stock layer rounds")
test_gradient = gradients(CASES[:-1])
OPTIONS = "output_dim: 2 group_size: 3 spatial_scale: 1"
test_refused = refusals([
    (f'type: "PSROIPooling" psroi_pooling_param {{ {options} }}', bottoms, 1, words) for options, bottoms, words in [
        ("output_dim: 2 group_size: 3", [(1, 18, 4, 4), (2, 5)], "give spatial_scale"),
        ("group_size: 3 spatial_scale: 1", [(1, 18, 4, 4), (2, 5)], "give output_dim"),
        ("output_dim: 2 spatial_scale: 1", [(1, 18, 4, 4), (2, 5)], "give group_size"),
        (OPTIONS, [(1, 17, 4, 4), (2, 5)], "want 18 channels, not 17"),
        (OPTIONS, [(1, 18, 4, 4), (2, 6)], "regions must be"),
    ]
])


def test_an_image_that_is_not_there():
    layer = make(CASES[0]).layer("l")
    with pytest.raises(LayerError, match="layer 'l'.*region 0 lies in image 2; there are 2"):
        layer(torch.zeros(2, 18, 9, 11), torch.tensor([[2.0, 0, 0, 3, 3]]))
