"""CReLU: axes, the slope, the order of the halves."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (2, 2, 3, 4)


def reference(axis=1, slope=0.0):
    def relu(x):
        return np.maximum(x, 0) + slope * np.minimum(x, 0)

    return lambda bottoms, blobs: [np.concatenate([relu(bottoms[0]), relu(-bottoms[0])], axis)]


def case(name, options, found, bottom=X):
    return Case(name, f'type: "CReLU" crelu_param {{ {options} }}', [bottom], found, opencv="it has no such layer")


CASES = [
    case("channels", "", reference()),
    case("last axis", "concat_axis: -1", reference(-1)),
    case("slope", "negative_slope: 0.25", reference(slope=0.25)),
    case("vectors, axis 0", "concat_axis: 0", reference(0), (4, 3)),
]
test_cases = run(CASES)
test_refused = refusals([('type: "CReLU" crelu_param { concat_axis: 4 }', [X], 1, "axis 4 is out of range")])
