"""Silence: nothing out, and zero diffs back."""

import torch

from caffe_port.islands import Islands
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

NOTHING = "it makes nothing, so a net of it alone has no output"
CASES = [
    Case("one", 'type: "Silence"', [(2, 3)], lambda bottoms, blobs: [], tops=0, gradient=False, onnx=NOTHING, opencv=NOTHING),
    Case("three", 'type: "Silence"', [(2, 3), (4,), (1, 5, 7)], lambda bottoms, blobs: [], tops=0, gradient=False,
         onnx=NOTHING, opencv=NOTHING),
]
test_cases = run([])
test_refused = refusals([('type: "Silence"', [(2, 3)], 1, "takes 0 top"), ('type: "Silence"', [], 0, "at least 1 bottom")])


def test_it_makes_nothing_and_silences_its_bottoms():
    for case in CASES:
        net = make(case)
        assert net.outputs == [] and net.run(keep=True).outputs == {}
        islands = Islands(net)
        islands.forward()
        islands.backward()
        assert all(not torch.any(net.blobs[name].diff) for name in net.inputs)
