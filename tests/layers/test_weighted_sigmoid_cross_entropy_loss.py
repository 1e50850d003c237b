"""WeightedSigmoidCrossEntropyLoss: equation (2), rates given and from a file, and the same as a pycaffe layer."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.loss_definitions import labels
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"
TYPE = 'type: "WeightedSigmoidCrossEntropyLoss"'
RATES = np.float32([0.5, 0.05, 0.9]).astype(float)
GIVEN = "weighted_sigmoid_cross_entropy_loss_param { " + " ".join(f"positive_rate: {r}" for r in RATES) + " }"
PYCAFFE = Path(__file__).parents[2] / "prototxt" / "hmt"


def reference(ignore=None, valid=False):
    def compute(bottoms, blobs):
        x, t = bottoms[0], bottoms[1].reshape(bottoms[0].shape)
        w = RATES.reshape((1, 3) + (1,) * (x.ndim - 2))
        p = 1 / (1 + np.exp(-x))
        keep = np.ones(x.shape, bool) if ignore is None else t != ignore
        cost = -(t / (2 * w) * np.log(p) + (1 - t) / (2 * (1 - w)) * np.log(1 - p)) * keep
        return [np.array(cost.sum() / max(1, keep.sum() if valid else len(x)))]

    return compute


def case(name, options, logits, targets, ref):
    return Case(name, f"{TYPE} {GIVEN} {options}", [logits, targets], ref, onnx=LOSS, opencv=LOSS)


CASES = [
    case("plain", "", (4, 3), labels((4, 3), 2), reference()),
    case("pixels", "", (2, 3, 5, 4), labels((2, 3, 5, 4), 2), reference()),
    case("targets of another shape", "", (4, 3), labels((4, 3, 1, 1), 2), reference()),
    case("soft targets", "", (4, 3), np.random.default_rng(1).uniform(0, 1, (4, 3)), reference()),
    case("unclear attributes", "loss_param { ignore_label: 2 }", (4, 3), labels((4, 3), 3), reference(2)),
    case("valid", "loss_param { ignore_label: 2 normalization: VALID }", (4, 3), labels((4, 3), 3), reference(2, True)),
    case("all ignored", "loss_param { ignore_label: 2 normalization: VALID }", (4, 3), np.full((4, 3), 2.0),
         reference(2, True)),
]
test_cases = run(CASES)


def rates(*values):
    return f"{TYPE} weighted_sigmoid_cross_entropy_loss_param {{ {' '.join(f'positive_rate: {v}' for v in values)} }}"


test_refused = refusals([
    (TYPE, [(4, 3), (4, 3)], 1, "needs the attributes' positive rates"),
    (rates(0.5, 0), [(4, 2), (4, 2)], 1, "positive rate of attribute 1 is 0"),
    (rates(1, 0.5), [(4, 2), (4, 2)], 1, "positive rate of attribute 0 is 1"),
    (rates(0.5, 0.5), [(4, 3), (4, 3)], 1, r"2 positive rates for logits \(4, 3\)"),
    (rates(0.5), [(4,), (4,)], 1, "one a channel"),
    (rates(0.5), [(4, 1), (4, 2)], 1, "same count"),
    (f'{TYPE} weighted_sigmoid_cross_entropy_loss_param {{ source: "/nowhere" }}', [(4, 1), (4, 1)], 1, "No such file"),
])


def from_file(path, text):
    path.write_text(text)
    param = f'weighted_sigmoid_cross_entropy_loss_param {{ source: "{path}" }}'
    return make(Case("l", f"{TYPE} {param}", [(4, 3), (4, 3)])).layer("l")


@pytest.mark.parametrize("text", ["0.5\n0.05\n0.9\n", "# name,rate\nhat,0.5\n\ncoat, long,0.05 # rare\nmale,0.9"])
def test_rates_from_a_file(tmp_path, text):
    x, t = torch.randn(4, 3), torch.tensor(labels((4, 3), 2), dtype=torch.float32)
    read, given = from_file(tmp_path / "rates.txt", text), make(CASES[0]).layer("l")
    assert read(x, t).item() == pytest.approx(given(x, t).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [("hat,0.5\nmany\n", r"rates.txt:2: 'many'"), ("a,0.5\nb,0\n", r"attribute 1 \(b, .*rates.txt:2\) is 0")],
)
def test_bad_files_are_refused_with_their_line(tmp_path, text, words):
    with pytest.raises(LayerError, match=words):
        from_file(tmp_path / "rates.txt", text)


def test_a_target_out_of_range_is_an_error():
    with pytest.raises(LayerError, match=r"target 2 at \(1, 2\) is not in \[0, 1\]"):
        make(CASES[0]).layer("l")(torch.zeros(4, 3), torch.tensor([[0.0] * 3, [0, 1, 2], [0.0] * 3, [0.0] * 3]))


@pytest.mark.parametrize("ignore", [None, 2])
def test_the_pycaffe_layer_is_the_same(monkeypatch, ignore):
    monkeypatch.setattr(sys, "path", [str(PYCAFFE), *sys.path])
    options = json.dumps({"positive_rate": RATES.tolist(), "ignore_label": ignore})
    text = ('type: "Python" loss_weight: 1 python_param { module: "weighted_loss" '
            f"layer: \"WeightedSigmoidCrossEntropyLossLayer\" param_str: '{options}' }}")
    targets = labels((4, 3, 2), 2 if ignore is None else 3)
    theirs = make(Case("l", text, [(4, 3, 2), targets])).layer("l").double()
    given = "" if ignore is None else f"loss_param {{ ignore_label: {ignore} }}"
    ours = make(case("l", given, (4, 3, 2), targets, None)).layer("l")
    gradients, losses = [], []
    for layer in (theirs, ours.double()):
        x = torch.tensor(np.random.default_rng(3).normal(size=(4, 3, 2)) * 30, requires_grad=True)
        top = layer(x, torch.tensor(targets))
        loss = 0.7 * (top[0] if isinstance(top, tuple) else top).sum()
        loss.backward()
        losses.append(loss.item())
        gradients.append(x.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-12, atol=1e-15)
