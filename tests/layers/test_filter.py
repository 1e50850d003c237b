"""Filter: all, some and no samples pass; the gradient of those left out; a batch that changes."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

NONE = "it has no Filter"
ALL = np.array([1.0, -2.0, 0.5, 3.0])


def reference(bottoms, blobs):
    *data, selector = bottoms
    return [x[selector.ravel() != 0] for x in data]


CASES = [
    Case("one", 'type: "Filter"', [(4, 3, 2), ALL], reference, opencv=NONE),
    Case("two", 'type: "Filter"', [(4, 3, 2), (4,), ALL.reshape(4, 1, 1)], reference, tops=2, opencv=NONE),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Filter"', [(4, 3), (4, 2), (4,)], 1, "make 2 tops, not 1"),
    ('type: "Filter"', [(4, 3), (4, 2)], 1, "one value a sample"),
    ('type: "Filter"', [(4, 3), (5,)], 1, "differ in the first dimension"),
])


def test_some_and_none_pass():
    layer = make(Case("l", 'type: "Filter"', [(4, 2), (4,)])).layer("l")
    x = torch.randn(4, 2, requires_grad=True)
    (some,) = layer(x, torch.tensor([0.0, 1.0, 0.0, -1.0]))
    assert torch.equal(some, x[[1, 3]])
    some.sum().backward()
    assert x.grad.sum(1).tolist() == [0, 2, 0, 2]
    (none,) = layer(x, torch.zeros(4))
    assert none.shape == (0, 2)
    none.sum().backward()
    assert x.grad.sum(1).tolist() == [0, 2, 0, 2]


def test_the_net_follows_the_number_that_passes():
    net = make(Case("l", 'type: "Filter"', [(4, 2), (4,)]))
    for passing in (1, 3, 0):
        selector = (torch.arange(4) < passing).float()
        assert net.run({"b0": torch.ones(4, 2), "b1": selector}).outputs["t0"].shape == (passing, 2)
