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


def wpal(name, options, size, levels, pool="MAX"):
    """`levels`: kernel and stride of each, worked out by hand from WPAL's rule; the pad is half of what is missing."""

    def tops(bottoms, blobs):
        x, found = bottoms[0], []
        for level, (kernel, stride) in enumerate(levels):
            pad = [(k + s * (bins - 1) - n + 1) // 2
                   for k, s, n, bins in zip(kernel, stride, size, bins_of(options, level), strict=True)]  # fmt: skip
            found.append(transcribed(x, kernel, stride, pad, True, pool)[0])
        return found if len(levels) == 1 else [np.concatenate([level.reshape(len(x), -1) for level in found], 1)]

    return case(f"WPAL, {name}", options, (1, 1, *size), tops)


def bins_of(options, level):
    words = options.replace(":", "").split()
    given = dict(zip(words[::2], words[1::2], strict=True))
    return [int(given.get(f"base_bin_{d}", 1)) * int(given.get(f"fineness_{d}", 2)) ** level for d in "hw"]


CASES = [
    case("MAX 1", "pyramid_height: 1", (2, 3, 9, 10), reference(1)),
    case("MAX 3", "pyramid_height: 3", (2, 3, 9, 10), reference(3)),
    case("AVE 1", "pyramid_height: 1 pool: AVE", (2, 3, 9, 10), reference(1, "AVE")),
    case("AVE 3", "pyramid_height: 3 pool: AVE", (2, 3, 11, 8), reference(3, "AVE")),
    case("AVE 4", "pyramid_height: 4 pool: AVE", (1, 2, 16, 23), reference(4, "AVE")),
]
CASES += [
    wpal("bands", "pyramid_height: 2 base_bin_h: 3 fineness_w: 1", (12, 7), [((4, 7), (4, 7)), ((2, 7), (2, 7))]),
    wpal("fineness 3", "pyramid_height: 2 fineness_h: 3 fineness_w: 3", (9, 10), [((9, 10),) * 2, ((3, 4),) * 2]),
    wpal("overlap", "pyramid_height: 2 overlap_ratio_h: 0.2 overlap_ratio_w: 0.2", (10, 10),
         [((10, 10), (8, 8)), ((7, 7), (3, 3))]),
    wpal("the stride shrinks", "pyramid_height: 3 overlap_ratio_h: 0", (5, 8),
         [((5, 8),) * 2, ((3, 4),) * 2, ((2, 2), (1, 2))]),
    wpal("0.7 of 10 is 7 in float32", "pyramid_height: 1 overlap_ratio_w: 0.7", (6, 10), [((6, 10), (6, 3))]),
    wpal("AVE", "pyramid_height: 2 pool: AVE base_bin_w: 2", (6, 9), [((6, 5), (6, 5)), ((3, 3), (3, 3))], "AVE"),
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


@pytest.mark.parametrize(("options", "words"), [
    ("pyramid_height: 2 fineness_h: 0", "must be positive"),
    ("pyramid_height: 2 base_bin_w: 0", "must be positive"),
    ("pyramid_height: 2 overlap_ratio_h: 1", "below 1"),
    ("pyramid_height: 4 base_bin_h: 2", "too small for level 2"),
])
def test_wpals_options_refused(options, words):
    with pytest.raises(LayerError, match=words):
        make(case("l", options, (2, 3, 5, 8), None))
