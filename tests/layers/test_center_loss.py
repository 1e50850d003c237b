"""CenterLoss: the value, the derivative to the features, and the centres' own gradient."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.loss_definitions import labels
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

OPTIONS = 'num_output: 4 center_filler { type: "gaussian" std: 1 }'
LABELS = np.array([2.0, 0, 2, 3, 2])


def reference(bottoms, blobs):
    x, wanted = bottoms
    away = x.reshape(len(x), -1) - blobs[0][wanted.astype(int).ravel()]
    return [(away**2).sum() / 2 / len(x)]


def case(name, bottoms, options=OPTIONS, **more):
    text = f'type: "CenterLoss" center_loss_param {{ {options} }}'
    more.setdefault("gradient", False)  # the centres' is no derivative
    return Case(name, text, bottoms, reference, onnx="a loss", opencv="a loss", phase="TRAIN", **more)


CASES = [
    case("features", [(5, 3), LABELS]),
    case("maps", [(5, 3, 2, 2), LABELS.reshape(5, 1, 1, 1)]),
    case("axis", [(5, 3, 2), LABELS], f"{OPTIONS} axis: -2"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "CenterLoss"', [(5, 3), (5,)], 1, "num_output, the number of classes"),
    (f'type: "CenterLoss" center_loss_param {{ {OPTIONS} }}', [(5, 3), (4,)], 1, "the same first dimension"),
    (f'type: "CenterLoss" center_loss_param {{ {OPTIONS} }}', [(5, 3), (5, 2)], 1, "one label a sample"),
    (f'type: "CenterLoss" center_loss_param {{ {OPTIONS} axis: 2 }}', [(5, 3, 2), (5,)], 1, "made for 2 features"),
])


def test_gradients():
    layer = make(CASES[0]).layer("l").double()
    x, wanted = torch.randn(5, 3, dtype=torch.double, requires_grad=True), torch.tensor(LABELS)
    assert torch.autograd.gradcheck(lambda x: layer(x, wanted), [x])
    (7 * layer(x, wanted)).backward()
    center = layer.center.detach()
    for j, members in enumerate(([1], [], [0, 2, 4], [3])):
        want = sum((center[j] - x[m] for m in members), torch.zeros(3, dtype=torch.double)) / (1 + len(members))
        assert torch.allclose(layer.center.grad[j], want)


def test_a_label_that_is_no_class():
    with pytest.raises(LayerError, match=r"layer 'l' \(CenterLoss\): label 4 at \(1,\) is not a class"):
        make(CASES[0]).layer("l")(torch.zeros(5, 3), torch.tensor([0.0, 4, 0, 0, 0]))


def test_an_empty_batch():
    assert make(CASES[0]).layer("l")(torch.zeros(0, 3), torch.tensor(labels((0,), 4))).isnan()
