"""Bias: learned and given terms over any run of axes."""

import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make, run

FILL = 'filler { type: "gaussian" std: 1 }'
OPENCV = "it has no Bias"


def reference(axis=1):
    def tops(bottoms, blobs):
        x, bias = bottoms[0], bottoms[1] if len(bottoms) > 1 else blobs[0]
        return [x + bias.reshape(bias.shape + (1,) * (x.ndim - axis - bias.ndim if bias.ndim else 0))]

    return tops


def case(name, options, bottoms, found):
    return Case(name, f'type: "Bias" bias_param {{ {options} }}', bottoms, found, opencv=OPENCV)


X = (2, 3, 5, 7)
CASES = [
    case("default is 0", "", [X], lambda bottoms, blobs: [bottoms[0]]),
    case("channel", FILL, [X], reference()),
    case("two axes", f"num_axes: 2 {FILL}", [X], reference()),
    case("axis 0, all", f"axis: 0 num_axes: -1 {FILL}", [X], reference(0)),
    case("last axis", f"axis: -1 {FILL}", [X], reference(3)),
    case("one number", f"num_axes: 0 {FILL}", [X], reference()),
    case("given", "axis: 0", [(2, 3, 5, 4), (2, 3)], reference(0)),
    case("given, one number", "", [(2, 3, 5), np.array(1.5)], reference()),
]
test_cases = run(CASES)


@pytest.mark.parametrize(("options", "bottoms", "message"), [
    ("num_axes: 4", [X], "more than a bottom"),
    ("num_axes: -2", [X], "at least 0, or -1"),
    ("", [X, (3, 4)], r"\(3, 4\) does not fit"),
])
def test_terms_that_do_not_fit(options, bottoms, message):
    with pytest.raises(LayerError, match=f"layer 'l' .*{message}"):
        make(case("l", options, bottoms, None))
