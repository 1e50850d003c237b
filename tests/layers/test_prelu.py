"""PReLU: one slope a channel, or one for all."""

import numpy as np
import pytest

from caffe_port.errors import ShapeError
from tests.layers.runner import Case, make, run


def reference(bottoms, blobs):
    x, slope = bottoms[0], blobs[0]
    if slope.ndim:
        slope = slope.reshape(-1, *[1] * (x.ndim - 2))
    return [np.maximum(x, 0) + slope * np.minimum(x, 0)]


def quarter(bottoms, blobs):
    assert (blobs[0] == 0.25).all()
    return reference(bottoms, blobs)


FILLER = 'filler { type: "uniform" min: 0.05 max: 0.6 }'
CASES = [
    Case("default", 'type: "PReLU"', [(2, 3, 5, 7)], quarter),
    Case("per channel", f'type: "PReLU" prelu_param {{ {FILLER} }}', [(2, 3, 5, 7)], reference),
    Case("vectors", f'type: "PReLU" prelu_param {{ {FILLER} }}', [(4, 6)], reference),
    Case("shared", f'type: "PReLU" prelu_param {{ channel_shared: true {FILLER} }}', [(2, 3, 5)], reference),
]
test_cases = run(CASES)


def test_channels_are_axis_1():
    with pytest.raises(ShapeError, match="at least 2 axes"):
        make(Case("l", 'type: "PReLU"', [(5,)]))


def test_another_number_of_channels_is_refused():
    net = make(CASES[0])
    with pytest.raises(ShapeError, match="3 slopes"):
        net.reshape({"b0": (2, 4, 5, 7)})
