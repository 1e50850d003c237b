"""Exp: base e and others, scale and shift; bases that have no logarithm."""

import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make, run


def reference(base, scale, shift):
    return lambda bottoms, blobs: [base ** (shift + scale * bottoms[0])]


CASES = [
    Case("default", 'type: "Exp"', [(2, 3, 5, 7)], reference(np.e, 1, 0)),
    Case("base 2", 'type: "Exp" exp_param { base: 2 scale: 1.5 shift: 1 }', [(2, 5)], reference(2, 1.5, 1)),
    Case("base e shifted", 'type: "Exp" exp_param { scale: -0.5 shift: 0.25 }', [(3, 4)], reference(np.e, -0.5, 0.25)),
    Case("base 1", 'type: "Exp" exp_param { base: 1 scale: 3 }', [(3, 4)], reference(1, 3, 0)),
    Case("base below 1", 'type: "Exp" exp_param { base: 0.5 }', [(3, 4)], reference(0.5, 1, 0)),
]
test_cases = run(CASES)


@pytest.mark.parametrize("base", [0, -2])
def test_a_base_must_be_positive(base):
    with pytest.raises(LayerError, match="base must be positive"):
        make(Case("l", f'type: "Exp" exp_param {{ base: {base} }}', [(2,)]))
