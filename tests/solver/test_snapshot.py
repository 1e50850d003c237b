"""Snapshots and resuming: the same bits as without a break, states that do not fit, files whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError, SolverError, WeightsError
from caffe_port.proto import caffe_pb2
from caffe_port.proto.binary import read_net, read_solverstate
from caffe_port.solver import Solver, state
from tests.solver import valley


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(tmp_path, more="", **how):
    return Solver(valley.write(tmp_path, more, **how), log_nets=False)


def everything(solver):
    return [entry.tensor.detach() for entry in solver.net.learnable] + solver.history


TYPES = [
    'type: "SGD" momentum: 0.9 weight_decay: 0.1',
    'type: "Nesterov" momentum: 0.9',
    'type: "AdaGrad"',
    'type: "RMSProp" rms_decay: 0.9',
    'type: "AdaDelta" momentum: 0.9 delta: 1e-3',
    'type: "Adam" momentum: 0.9 weight_decay: 0.1',
]


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path, kind, form):
    # The net reads no data, so there is no position in it to lose; the rate changes at 3 and at 5.
    if form == "HDF5":
        pytest.importorskip("h5py")
    rates = valley.SOLVER.replace('"fixed"', '"multistep" gamma: 0.5 stepvalue: 3 stepvalue: 5')
    more = f"{kind} snapshot: 4 snapshot_format: {form}"
    whole = make(tmp_path, more, solver=rates)
    whole.solve()
    resumed = make(tmp_path, more, solver=rates.replace("random_seed: 3", "random_seed: 8"))
    resumed.solve("run_iter_4.solverstate" + (".h5" if form == "HDF5" else ""))
    assert (resumed.iter, resumed.current_step) == (6, 2)
    assert all(torch.equal(a, b) for a, b in zip(everything(whole), everything(resumed), strict=True))


def test_what_a_snapshot_holds(tmp_path):
    solver = make(tmp_path, 'type: "Adam" momentum: 0.9 snapshot_diff: true')
    solver.step(3)
    weights, standing = solver.snapshot()
    assert (weights, standing) == ("run_iter_3.caffemodel", "run_iter_3.solverstate")
    message, history = read_solverstate(standing)
    assert (message.iter, message.current_step, message.learned_net) == (3, 0, weights)
    assert [h.shape for h in history] == [(3, 4), (4,), (3, 4)] * 2
    saved = {layer.name: layer for layer in read_net(weights).layers}
    np.testing.assert_array_equal(saved["w"].blobs[0], solver.net.layer("w").w.detach().numpy())
    # The diff that Caffe keeps is the update, as it was subtracted.
    np.testing.assert_array_equal(saved["w"].diffs[0], solver.net.learnable[0].diff.numpy())
    assert np.abs(saved["w"].diffs[0]).max() > 0


def test_snapshot_after_train_can_be_switched_off(tmp_path):
    make(tmp_path, "snapshot_after_train: false").solve()
    assert not list(tmp_path.glob("run_iter_*"))


def test_weights_beside_the_state_are_found_after_a_move(tmp_path, monkeypatch):
    solver = make(tmp_path)
    solver.step(2)
    solver.snapshot()
    away = tmp_path / "away"
    away.mkdir()
    for name in ("run_iter_2.caffemodel", "run_iter_2.solverstate"):
        os.rename(tmp_path / name, away / name)
    again = make(tmp_path)
    again.restore("away/run_iter_2.solverstate")
    assert torch.equal(again.net.layer("w").w, solver.net.layer("w").w) and again.iter == 2


def broken(tmp_path):
    solver = make(tmp_path, "momentum: 0.9")
    solver.step(2)
    solver.snapshot()


# what is done to the files, how the second solver differs, and what is said
UNFIT = [
    (lambda: None, 'type: "Adam"', r"state has 3 history blobs of shapes .* want 6"),
    (lambda: os.remove("run_iter_2.caffemodel"), "", r"weights 'run_iter_2.caffemodel', which is neither there nor at"),
    (lambda: os.remove("run_iter_2.solverstate"), "", "there is no file 'run_iter_2.solverstate'"),
    (lambda: Path("run_iter_2.solverstate").write_bytes(b"\x0a\xff\xff"), "", "run_iter_2.solverstate"),
    (
        lambda: Path("run_iter_2.caffemodel").write_bytes(Path("run_iter_2.caffemodel").read_bytes()[:-9]),
        "",
        "run_iter_2",
    ),
]


@pytest.mark.parametrize("damage, more, message", UNFIT)
def test_a_state_that_does_not_fit_changes_nothing(tmp_path, damage, more, message):
    broken(tmp_path)
    damage()
    solver = make(tmp_path, more)
    before = [t.clone() for t in everything(solver)]
    with pytest.raises(CaffeError, match=message):
        solver.restore("run_iter_2.solverstate")
    assert solver.iter == 0 and all(torch.equal(a, b) for a, b in zip(before, everything(solver), strict=True))


def test_a_state_of_other_shapes_names_the_first(tmp_path):
    broken(tmp_path)
    solver = make(tmp_path, net=valley.NET.replace("dim: 4", "dim: 5"))
    with pytest.raises(
        SolverError, match=r"history blobs of shapes \[\(3, 4\), .*\(3, 5\).*first to differ is number 0"
    ):
        solver.restore("run_iter_2.solverstate")


def test_weights_of_other_shapes(tmp_path):
    broken(tmp_path)
    found = state.read("run_iter_2.solverstate")
    state.write(
        "run_iter_2.solverstate",
        state.State(2, 0, found.learned_net, [np.zeros((3, 5)), np.zeros(5), np.zeros((3, 5))]),
    )
    solver = make(tmp_path, net=valley.NET.replace("dim: 4", "dim: 5"))
    with pytest.raises(
        WeightsError, match=r"layer 'w' .*blob 0 is \(3, 4\) in run_iter_2.caffemodel but \(3, 5\) here"
    ):
        solver.restore("run_iter_2.solverstate")


@pytest.mark.parametrize("files_that_fit", [0, 1, 2])
def test_a_full_disk_leaves_older_snapshots_and_nothing_half_written(files_that_fit, tmp_path, monkeypatch):
    """Of the same iteration too: weights of one run beside the state of another would look whole."""
    solver = make(tmp_path)
    solver.exact_resume = True
    for _ in range(2):
        solver.step(1)
        solver.snapshot()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other = make(tmp_path)
    other.exact_resume = True
    other.step(3)
    other.take_position(2, 0)
    room = iter([True] * files_that_fit)

    def sync(fd):
        if not next(room, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(
        SolverError, match="snapshot of iteration 2: .*No space left on device.*Older snapshots are untouched"
    ):
        other.snapshot()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_kill_between_two_files_of_a_snapshot_mixes_no_runs(tmp_path, monkeypatch):
    solver = make(tmp_path)
    solver.step(2)
    solver.snapshot()
    real = os.replace

    def replace(source, target):
        if str(target).endswith(".solverstate"):
            raise SystemExit("killed")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(SystemExit):
        solver.snapshot()
    assert not Path("run_iter_2.solverstate").exists()


LIMITED = """
import resource, sys
from caffe_port.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
sys.exit(main(["train", "--solver=solver.prototxt"]))
"""


def test_a_run_into_a_real_limit_ends_in_one_line(tmp_path):
    valley.write(tmp_path, net=valley.NET.replace("dim: 3", "dim: 300"))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "GLOG_minloglevel": "2"},
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("caffe-port: error: snapshot of iteration 6: ") and "File too large" in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"net.prototxt", "solver.prototxt"}


def test_the_history_may_come_in_legacy_dimensions(tmp_path):
    solver = make(tmp_path, "momentum: 0.9")
    solver.step(2)
    solver.snapshot()
    old = caffe_pb2.SolverState()
    old.ParseFromString(Path("run_iter_2.solverstate").read_bytes())
    for blob in old.history:
        dims = [1] * (4 - len(blob.shape.dim)) + list(blob.shape.dim)
        blob.ClearField("shape")
        blob.num, blob.channels, blob.height, blob.width = dims
    Path("run_iter_2.solverstate").write_bytes(old.SerializeToString())
    again = make(tmp_path, "momentum: 0.9")
    again.restore("run_iter_2.solverstate")
    assert all(torch.equal(a, b) for a, b in zip(solver.history, again.history, strict=True))
