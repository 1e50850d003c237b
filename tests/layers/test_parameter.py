"""Parameter: the blob is the top, and learns from its diff."""

import torch

from tests.layers.runner import Case, make, run

CASES = [
    Case("matrix", 'type: "Parameter" parameter_param { shape { dim: 3 dim: 5 } }', [],
         lambda bottoms, blobs: [blobs[0]], opencv="it has no Parameter"),
    Case("scalar", 'type: "Parameter" parameter_param { shape { } }', [], lambda bottoms, blobs: [blobs[0]],
         opencv="it has no Parameter"),
]
test_cases = run(CASES)


def test_it_starts_at_zero_and_learns():
    net = make(CASES[0])
    (w,) = net.layer("l").blobs
    assert not w.any() and net.learnable[0].lr_mult == 1
    (net.run().outputs["t0"] * torch.arange(15.0).reshape(3, 5)).sum().backward()
    assert torch.equal(w.grad, torch.arange(15.0).reshape(3, 5))
