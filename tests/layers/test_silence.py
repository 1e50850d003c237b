"""Silence: nothing out, and zero diffs back."""

import pytest
import torch

from caffe_port.islands import Islands
from tests.layers.refusals import refusals
from tests.layers.runner import Case, check_forward, check_islands, make

NOTHING = "it makes nothing, so a net of it alone has no output"
CASES = [
    Case("one", 'type: "Silence"', [(2, 3)], lambda bottoms, blobs: [], tops=0, gradient=False, onnx=NOTHING,
         opencv=NOTHING),
    Case("three", 'type: "Silence"', [(2, 3), (4,), (1, 5, 7)], lambda bottoms, blobs: [], tops=0, gradient=False,
         onnx=NOTHING, opencv=NOTHING),
]
test_refused = refusals([
    ('type: "Silence"', [(2, 3)], 1, "takes 0 top"),
    ('type: "Silence"', [], 0, "at least 1 bottom"),
])


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_cases(case):
    check_forward(case)
    check_islands(case)


def test_it_makes_nothing_and_silences_its_bottoms():
    for case in CASES:
        net = make(case)
        assert net.outputs == [] and net.run(keep=True).outputs == {}
        islands = Islands(net)
        islands.forward()
        islands.backward()
        assert all(not torch.any(net.blobs[name].diff) for name in net.inputs)
