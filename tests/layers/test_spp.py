"""SPP: levels one after the other; a level of fewer windows than bins; planes too small for the pyramid."""

import math

import numpy as np
import pytest

from caffe_port.errors import LayerError, ShapeError, UnsupportedError
from tests.layers.runner import Case, make, run
from tests.layers.test_pooling import transcribed


def reference(levels, pool="MAX"):
    def tops(bottoms, blobs):
        x, found = bottoms[0], []
        for bins in (2**level for level in range(levels)):
            kernel = [math.ceil(n / bins) for n in x.shape[2:]]
            pad = [(k * bins - n + 1) // 2 for k, n in zip(kernel, x.shape[2:], strict=True)]
            found.append(transcribed(x, kernel, kernel, pad, True, pool)[0])
        return found if levels == 1 else [np.concatenate([level.reshape(len(x), -1) for level in found], 1)]

    return tops


def case(name, options, bottom, found, **more):
    return Case(name, f'type: "SPP" spp_param {{ {options} }}', [bottom], found, opencv="it has no SPP", **more)


CASES = [
    case("MAX 1", "pyramid_height: 1", (2, 3, 9, 10), reference(1)),
    case("MAX 3", "pyramid_height: 3", (2, 3, 9, 10), reference(3)),
    case("AVE 1", "pyramid_height: 1 pool: AVE", (2, 3, 9, 10), reference(1, "AVE")),
    case("AVE 3", "pyramid_height: 3 pool: AVE", (2, 3, 11, 8), reference(3, "AVE")),
    case("AVE 4", "pyramid_height: 4 pool: AVE", (1, 2, 16, 23), reference(4, "AVE")),
]
test_cases = run(CASES)


def test_planes_too_small():
    with pytest.raises(ShapeError, match="too small for level 2"):
        make(case("l", "pyramid_height: 3", (2, 3, 5, 8), None))


def test_a_height_is_required():
    with pytest.raises(LayerError, match="pyramid_height"):
        make(case("l", "", (2, 3, 5, 8), None))


def test_stochastic_is_refused():
    with pytest.raises(UnsupportedError, match="STOCHASTIC"):
        make(case("l", "pyramid_height: 1 pool: STOCHASTIC", (2, 3, 5, 8), None))
