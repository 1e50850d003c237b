"""Scale: learned and given coefficients over any run of axes, with and without bias."""

import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make, run

FILL = 'filler { type: "uniform" min: 0.5 max: 1.5 }'
BIAS = 'bias_term: true bias_filler { type: "uniform" min: -1 max: 1 }'


def over(coefficient, x, axis):
    return coefficient.reshape(coefficient.shape + (1,) * (x.ndim - axis - coefficient.ndim if coefficient.ndim else 0))


def reference(axis=1, bias=False):
    def tops(bottoms, blobs):
        x, blobs = bottoms[0], list(blobs)
        scale = bottoms[1] if len(bottoms) > 1 else blobs.pop(0)
        y = x * over(scale, x, axis)
        return [y + over(blobs.pop(0), x, axis) if bias else y]

    return tops


def case(name, options, bottoms, found, **more):
    return Case(name, f'type: "Scale" scale_param {{ {options} }}', bottoms, found, **more)


X = (2, 3, 5, 7)
CASES = [
    case("default is 1", "", [X], lambda bottoms, blobs: [bottoms[0]]),
    case("channel", FILL, [X], reference()),
    case("channel and bias", f"{FILL} {BIAS}", [X], reference(bias=True)),
    case("two axes", f"num_axes: 2 {FILL} {BIAS}", [X], reference(bias=True)),
    case("axis 0, all", f"axis: 0 num_axes: -1 {FILL}", [X], reference(0)),
    case("last axis", f"axis: -1 {FILL} {BIAS}", [X], reference(3, True),
         opencv="it counts another axis from the end"),
    case("one number", f"num_axes: 0 {FILL} {BIAS}", [X], reference(0, True)),
    case("given", "axis: 0", [(2, 3, 5, 4), (2, 3)], reference(0)),
    case("given, with bias", f"axis: 2 {BIAS}", [(2, 3, 5, 4), (5, 4)], reference(2, True),
         opencv="it lays the bias over another axis"),
    case("given, one number", "", [(2, 3, 5), np.array(1.5)], reference(0)),
    case("empty batch", FILL, [(0, 3, 2)], reference(), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)


@pytest.mark.parametrize(("options", "bottoms", "message"), [
    ("num_axes: 4", [X], "more than a bottom"),
    ("num_axes: -2", [X], "at least 0, or -1"),
    ("axis: 4", [X], "axis 4 is out of range"),
    ("", [X, (3, 4)], r"\(3, 4\) does not fit"),
    ("", [X, (3, 5, 7, 1)], "does not fit"),
])
def test_coefficients_that_do_not_fit(options, bottoms, message):
    with pytest.raises(LayerError, match=f"layer 'l' .*{message}"):
        make(case("l", options, bottoms, None))
