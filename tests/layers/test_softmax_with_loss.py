"""SoftmaxWithLoss: every normalisation with and without ignored labels, axes, the clamp, the probability top."""

import math

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.loss_definitions import MODES, divisor, labels, rows, softmax
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"


def reference(mode="VALID", axis=1, ignore=None, weights=None):
    def compute(bottoms, blobs):
        x, wanted = bottoms[0], bottoms[1].ravel().astype(int)
        p = rows(softmax(x, axis), axis)
        keep = wanted != ignore
        cost = -np.log(np.maximum(p[np.arange(len(p)), np.where(keep, wanted, 0)], 2.0**-126)) * keep
        cost = cost if weights is None else cost * np.array(weights)[np.where(keep, wanted, 0)]
        outer = math.prod(x.shape[:axis])
        return [np.array(cost.sum() / divisor(mode, outer, len(p), keep.sum())), softmax(x, axis)]

    return compute


def loss_only(*args, **kwargs):
    return lambda bottoms, blobs: reference(*args, **kwargs)(bottoms, blobs)[:1]


def case(name, options, shape, wanted, ref, **more):
    return Case(name, f'type: "SoftmaxWithLoss" {options}', [shape, wanted], ref, onnx=LOSS, opencv=LOSS, **more)


WEIGHTS = [0.5, 2.0, 7.25]
WEIGHTED = "weight_by_label_freqs: true " + " ".join(f"class_weighting: {w}" for w in WEIGHTS)
CASES = [
    case("default", "", (4, 5), labels((4,), 5), loss_only()),
    case("pixels", "", (2, 5, 3, 4), labels((2, 1, 3, 4), 5), loss_only()),
    case("axis", "softmax_param { axis: -1 }", (2, 3, 5), labels((2, 3), 5), loss_only(axis=2)),
    case("old true", "loss_param { normalize: true }", (2, 5, 3), labels((2, 3), 5), loss_only("VALID")),
    case("old false", "loss_param { normalize: false }", (2, 5, 3), labels((2, 3), 5), loss_only("BATCH_SIZE")),
    case("new before old", "loss_param { normalize: true normalization: NONE }", (2, 5, 3), labels((2, 3), 5),
         loss_only("NONE")),
    case("weighted", f"loss_param {{ {WEIGHTED} }}", (2, 3, 4, 5), labels((2, 4, 5), 3), loss_only(weights=WEIGHTS)),
    case("weighted ignore", f"loss_param {{ {WEIGHTED} ignore_label: 9 }}", (3, 3), np.array([0, 9, 2.0]),
         loss_only(ignore=9, weights=WEIGHTS)),
    case("weights that are not wanted", f"loss_param {{ {WEIGHTED.replace('true', 'false')} }}", (2, 5),
         labels((2,), 5), loss_only()),
    case("all ignored", "loss_param { ignore_label: 255 }", (2, 5, 3), np.full((2, 3), 255.0), loss_only(ignore=255)),
    case("probabilities", "", (2, 5, 3), labels((2, 3), 5), reference(), tops=2, gradient=False),
    case("empty batch", "", (0, 5), np.zeros(0), lambda bottoms, blobs: [np.zeros(())], gradient=False),
    *(case(f"{mode} ignore", f"loss_param {{ normalization: {mode} ignore_label: -1 }}", (2, 5, 3, 4),
           labels((2, 3, 4), 5, -1), loss_only(mode, ignore=-1)) for mode in MODES),
]
test_cases = run(CASES)
test_refused = refusals([
    (f'type: "SoftmaxWithLoss" loss_param {{ {WEIGHTED} }}', [(2, 5), (2,)], 1, "each of 5 classes, not 3"),
    ('type: "SoftmaxWithLoss"', [(2, 5, 3), (2, 4)], 1, "one label a prediction"),
    ('type: "SoftmaxWithLoss"', [(2, 5), (3,)], 1, "same first dimension"),
    ('type: "SoftmaxWithLoss" softmax_param { axis: 4 }', [(2, 5), (2,)], 1, "axis 4 is out of range"),
    ('type: "SoftmaxWithLoss"', [(2, 5)], 1, "takes 2 bottom"),
])


def layer_of(options="", bottoms=((3, 4), (3,))):
    return make(Case("l", f'type: "SoftmaxWithLoss" {options}', list(bottoms))).layer("l")


def test_where_the_clamp_acts_the_loss_is_finite_and_the_gradient_goes_on():
    x = torch.tensor([[200.0, 0.0, 0.0, 0.0]] * 3, requires_grad=True)
    (loss,) = layer_of()(x, torch.tensor([1.0, 1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(2 * 126 * math.log(2) / 3, rel=1e-6)
    assert x.grad.tolist() == [[pytest.approx(1 / 3), pytest.approx(-1 / 3), 0, 0]] * 2 + [[0, 0, 0, 0]]


def test_no_gradient_enters_by_the_probabilities():
    layer = make(Case("l", 'type: "SoftmaxWithLoss"', [(3, 4), (3,)], tops=2)).layer("l")
    _, probability = layer(torch.randn(3, 4, requires_grad=True), torch.zeros(3))
    assert not probability.requires_grad


@pytest.mark.parametrize("wrong", [4.0, -1.0, -100.0, 255.0, float("nan")])
def test_a_label_that_is_no_class_is_an_error_with_value_and_place(wrong):
    with pytest.raises(LayerError, match=rf"layer 'l'.*label {wrong:g} at \(1,\)"):
        layer_of()(torch.randn(3, 4), torch.tensor([0.0, wrong, 2.0]))


def test_labels_are_cut_to_whole_numbers_as_in_c():
    x = torch.randn(3, 4)
    assert layer_of()(x, torch.tensor([0.9, -0.9, 2.5])) == layer_of()(x, torch.tensor([0.0, 0.0, 2.0]))


def test_ignored_pixels_have_no_gradient():
    x = torch.randn(3, 4, requires_grad=True)
    (loss,) = layer_of("loss_param { ignore_label: 7 }")(x, torch.tensor([7.0, 1.0, 7.0]))
    loss.backward()
    assert not x.grad[[0, 2]].any() and x.grad[1].any()
