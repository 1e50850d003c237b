"""InfogainLoss: H as a bottom and from a file, normalisations, the clamp, the probability top."""

import math

import numpy as np
import pytest
import torch

from caffe_port.proto import binary
from tests.layers.loss_definitions import MODES, divisor, labels, rows, softmax
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"
H = np.random.default_rng(4).uniform(0, 2, (5, 5))


def reference(mode="VALID", axis=1, ignore=None, matrix=None):
    def compute(bottoms, blobs):
        x, wanted = bottoms[0], bottoms[1].ravel().astype(int)
        h = (bottoms[2] if matrix is None else matrix).reshape(x.shape[axis], x.shape[axis])
        log_p = np.log(np.maximum(rows(softmax(x, axis), axis), 1e-20))
        keep = wanted != ignore
        cost = -(h[np.where(keep, wanted, 0)] * log_p).sum(1) * keep
        loss = np.array(cost.sum() / divisor(mode, math.prod(x.shape[:axis]), len(cost), keep.sum()))
        return [loss, softmax(x, axis)]

    return compute


def loss_only(*args, **kwargs):
    return lambda bottoms, blobs: reference(*args, **kwargs)(bottoms, blobs)[:1]


def case(name, options, bottoms, ref, **more):
    return Case(name, f'type: "InfogainLoss" {options}', bottoms, ref, onnx=LOSS, opencv=LOSS, **more)


CASES = [
    case("default", "", [(3, 5), labels((3,), 5), H], loss_only()),
    case("pixels", "", [(2, 5, 3, 4), labels((2, 1, 3, 4), 5), H.reshape(1, 1, 5, 5)], loss_only()),
    case("axis", "infogain_loss_param { axis: -2 }", [(2, 3, 5, 4), labels((2, 3, 4), 5), H.ravel()],
         loss_only(axis=2)),
    case("probabilities", "", [(3, 5), labels((3,), 5), H], reference(), tops=2, gradient=False),
    *(case(f"{mode} ignore", f"loss_param {{ normalization: {mode} ignore_label: 255 }}",
           [(2, 5, 3), np.where(labels((2, 3), 2) > 0, labels((2, 3), 5), 255), H], loss_only(mode, ignore=255))
      for mode in MODES),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "InfogainLoss"', [(3, 5), (3,)], 1, "needs the matrix H"),
    ('type: "InfogainLoss" loss_param { normalize: true }', [(3, 5), (3,), (5, 5)], 1, "use 'normalization'"),
    ('type: "InfogainLoss"', [(3, 5), (3,), (4, 5)], 1, "5 classes need 5 x 5"),
    ('type: "InfogainLoss"', [(3, 5), (3, 2), (5, 5)], 1, "one label a prediction"),
])


def test_the_matrix_from_a_file(tmp_path):
    path = tmp_path / "H.binaryproto"
    binary.write_blob(path, H.astype(np.float32))
    wanted = labels((3,), 5)
    text = f'type: "InfogainLoss" infogain_loss_param {{ source: "{path}" }}'
    layer = make(Case("l", text, [(3, 5), (3,)])).layer("l")
    x = np.random.default_rng(5).normal(size=(3, 5)).astype(np.float32)
    (loss,) = layer(torch.tensor(x), torch.tensor(wanted))
    assert loss.item() == pytest.approx(float(reference(matrix=H)([x.astype(float), wanted], [])[0]), rel=1e-5)


def test_where_the_clamp_acts_the_gradient_goes_on():
    layer = make(Case("l", 'type: "InfogainLoss"', [(1, 2), (1,), (2, 2)])).layer("l")
    x = torch.tensor([[100.0, 0.0]], requires_grad=True)
    (loss,) = layer(x, torch.ones(1), torch.eye(2))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-20), rel=1e-5) and x.grad.tolist() == [[1, -1]]
