"""LRN: across channels and within channels, also with fewer channels or pixels than the neighbourhood."""

import numpy as np
import pytest

from caffe_port.errors import LayerError, ShapeError
from tests.layers.runner import Case, make, run


def across(size=5, alpha=1.0, beta=0.75, k=1.0):
    def tops(bottoms, blobs):
        x = bottoms[0]
        total = [(x[:, max(0, c - size // 2) : c + size // 2 + 1] ** 2).sum(1) for c in range(x.shape[1])]
        return [x * (k + alpha / size * np.stack(total, 1)) ** -beta]

    return tops


def within(size, alpha, beta):
    def tops(bottoms, blobs):
        x, reach, y = bottoms[0], size // 2, np.zeros_like(bottoms[0])
        for i, j in np.ndindex(x.shape[2:]):
            square = x[:, :, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
            y[:, :, i, j] = x[:, :, i, j] * (1 + alpha * (square**2).sum((2, 3)) / size**2) ** -beta
        return [y]

    return tops


def case(name, options, bottom, found, **more):
    return Case(name, f'type: "LRN" lrn_param {{ {options} }}', [bottom], found, **more)


CASES = [
    case("default", "", (2, 7, 3, 4), across(), opencv="its default alpha is another"),
    case("AlexNet's", "local_size: 5 alpha: 0.0001 beta: 0.75", (2, 7, 3, 4), across(5, 1e-4)),
    case("strong", "local_size: 3 alpha: 1.5 beta: 0.5 k: 2", (2, 7, 3, 4), across(3, 1.5, 0.5, 2),
         opencv="its reader ignores k"),
    case("fewer channels than the size", "local_size: 5 alpha: 1", (1, 2, 3, 4), across()),
    case("size 1", "local_size: 1 alpha: 1", (1, 4, 3, 2), across(1)),
    case("within", "norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.5 beta: 0.5", (2, 3, 6, 5), within(3, 0.5, 0.5)),
    case("within, k unused", "norm_region: WITHIN_CHANNEL local_size: 5 alpha: 2 beta: 0.75 k: 7", (2, 3, 4, 2),
         within(5, 2, 0.75)),
    case("within, size 1", "norm_region: WITHIN_CHANNEL local_size: 1 alpha: 0.5", (2, 3, 4, 2), within(1, 0.5, 0.75)),
]
test_cases = run(CASES)


def test_the_size_is_odd():
    with pytest.raises(LayerError, match="local_size must be odd, not 4"):
        make(case("l", "local_size: 4", (1, 2, 3, 4), None))


def test_a_bottom_has_four_axes():
    with pytest.raises(ShapeError, match="4 axes"):
        make(case("l", "", (2, 3, 5), None))
