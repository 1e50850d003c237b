"""pycaffe's solvers: their classes, their nets' arrays, callbacks, and what leaves and comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_port.pycaffe as caffe
from caffe_port.errors import SolverError
from caffe_port.pycaffe import host

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 } data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net" test_iter: 2 test_interval: 3 base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 5
snapshot_prefix: "s" snapshot_after_train: false display: 0 random_seed: 3
"""


@pytest.fixture(autouse=True, params=["the tensor's memory", "lent"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net").write_text(NET)
    Path("solver").write_text(SOLVER)
    if request.param == "lent":  # as on a GPU
        monkeypatch.setattr(host, "in_reach", lambda tensor: False)


CLASSES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]


@pytest.mark.parametrize("kind", CLASSES)
def test_get_solver_gives_the_class_of_the_type(kind: str) -> None:
    extra = "rms_decay: 0.9 momentum: 0" if kind == "RMSProp" else "momentum2: 0.9" if kind == "Adam" else ""
    Path("solver").write_text(f'{SOLVER} type: "{kind}" {extra}')
    solver = caffe.get_solver("solver")
    assert type(solver) is getattr(caffe, f"{kind}Solver") and isinstance(solver, caffe.SGDSolver)
    wrong = caffe.AdamSolver if kind != "Adam" else caffe.NesterovSolver
    with pytest.raises(SolverError, match=f"asks for a {kind} solver"):
        wrong("solver")


def test_what_is_written_into_the_nets_counts() -> None:
    """The update by hand: weight - rate * diff, at a rate that changes, with a rate set by the program."""
    solver = caffe.SGDSolver("solver")
    assert (solver.iter, solver.lr, solver.param.max_iter) == (0, pytest.approx(0.1), 5)
    solver.net.params["ip"][0].data[...] = 1
    solver.net.params["ip"][0].diff[...] = [[1, 2, 3], [4, 5, 6]]
    solver.apply_update()
    expected = 1 - 0.1 * np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(solver.net.params["ip"][0].data, expected, rtol=1e-6)
    solver.step(1)
    assert solver.iter == 2 and solver.lr == pytest.approx(0.05)
    solver.param.base_lr = 1
    assert solver.lr == pytest.approx(0.5)


def test_test_nets_share_weights_and_hold_their_last_batch() -> None:
    solver = caffe.SGDSolver("solver")
    (test_net,) = solver.test_nets
    solver.step(1)
    weights, bias = (blob.data for blob in test_net.params["ip"])
    first = test_net.blobs["ip"].data  # of the test before the first update
    assert first.any() and not np.allclose(first, test_net.blobs["data"].data @ weights.T + bias, atol=1e-4)
    np.testing.assert_array_equal(weights, solver.net.params["ip"][0].data)
    test_net.forward(start="ip")
    np.testing.assert_allclose(test_net.blobs["ip"].data, test_net.blobs["data"].data @ weights.T + bias, rtol=1e-5)


def test_callbacks_come_before_the_passes_and_before_the_update() -> None:
    solver = caffe.SGDSolver("solver")
    seen: list[tuple[str, int]] = []
    weights: list[np.ndarray] = []

    def ready() -> None:
        seen.append(("ready", solver.iter))
        solver.net.params["ip"][0].diff[...] = 0  # what is written here is what the update takes
        weights.append(solver.net.params["ip"][0].data.copy())

    solver.add_callback(lambda: seen.append(("start", solver.iter)), ready)
    solver.step(2)
    assert seen == [("start", 0), ("ready", 0), ("start", 1), ("ready", 1)]
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[0], solver.net.params["ip"][0].data)
    assert solver.net.params["ip"][1].data.any()


def test_snapshot_restore_and_shared_weights() -> None:
    solver = caffe.SGDSolver("solver")
    solver.net.params["ip"][0].data[...] = 7
    solver.snapshot()
    solver.solve()
    assert solver.iter == 5
    other = caffe.SGDSolver("solver")
    other.restore("s_iter_0.solverstate")
    assert (other.net.params["ip"][0].data == 7).all() and other.iter == 0
    other.solve("s_iter_0.solverstate")
    np.testing.assert_allclose(other.net.params["ip"][0].data, solver.net.params["ip"][0].data, rtol=1e-6)
    net = caffe.Net("net", caffe.TEST)
    other.share_weights(net)
    other.net.params["ip"][0].data[...] = 9
    assert (net.params["ip"][0].data == 9).all()


def test_a_missing_file_is_a_runtime_error() -> None:
    for call in (lambda: caffe.Net("nowhere", caffe.TEST), lambda: caffe.Net("net", caffe.TEST, weights="nowhere")):
        with pytest.raises(RuntimeError, match="could not open file nowhere"):
            call()
