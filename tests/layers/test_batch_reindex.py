"""BatchReindex: repeats, omissions, an empty choice; numbers out of range."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

NONE = "it has no BatchReindex"


def reference(bottoms, blobs):
    return [bottoms[0][bottoms[1].astype(int)]]


CASES = [
    Case("repeats", 'type: "BatchReindex"', [(5, 3, 2), np.array([4.0, 0, 4, 4, 1, 1, 0])], reference, opencv=NONE),
    Case("fewer", 'type: "BatchReindex"', [(5, 3), np.array([2.0])], reference, opencv=NONE),
    Case("fractions are cut", 'type: "BatchReindex"', [(5,), np.array([2.9, 0.1])], reference, opencv=NONE),
    Case("none", 'type: "BatchReindex"', [(5, 3), np.zeros(0)], reference, opencv=NONE),
]
test_cases = run(CASES)
test_refused = refusals([('type: "BatchReindex"', [(5, 3), (2, 2)], 1, "must have one axis")])


@pytest.mark.parametrize("wrong", [5.0, -0.5, float("nan")])
def test_a_number_out_of_range(wrong):
    layer = make(Case("l", 'type: "BatchReindex"', [(5, 3), (2,)])).layer("l")
    with pytest.raises(LayerError, match=f"index {wrong:g} at 1"):
        layer(torch.zeros(5, 3), torch.tensor([0.0, wrong]))
