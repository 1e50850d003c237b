"""--exact-resume: a run that is broken off and resumed has the bits, and the log, of one that is not."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.cli.main import main
from caffe_port.errors import SolverError
from caffe_port.proto.load import read_solver
from caffe_port.solver import Solver, resume
from caffe_port.solver.actions import Action
from tests.solver import drawn

RANDOM = "scale: 0.01 crop_size: 5 mirror: true"
TESTS = "test_iter: 3 test_interval: 2 display: 1 average_loss: 3 "
RECURRENT = """
layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }
layer { name: "steps" type: "Reshape" bottom: "flat" top: "steps" reshape_param { shape { dim: 1 dim: %d dim: -1 } } }
layer { name: "flags" type: "DummyData" top: "flags" dummy_data_param { shape { dim: 1 dim: %d }
        data_filler { type: "constant" value: 1 } } }
layer { name: "lstm" type: "LSTM" bottom: "steps" bottom: "flags" top: "lstm"
        recurrent_param { num_output: 3 weight_filler { type: "uniform" min: -0.1 max: 0.1 } } }
layer { name: "silence" type: "Silence" bottom: "lstm" }
layer { name: "noise" type: "DummyData" top: "noise"
        dummy_data_param { shape { dim: 1 dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "quiet" type: "Silence" bottom: "noise" }
"""


@dataclass
class Case:
    name: str
    more: str
    middle: str = drawn.DROP
    transform: str = RANDOM
    reading: str = ""
    solver: str = drawn.SOLVER


CASES = [
    Case("sgd", TESTS + "momentum: 0.9 weight_decay: 0.01"),
    Case("adam_iter_size", TESTS + 'type: "Adam" momentum: 0.9 iter_size: 2'),
    Case("adadelta", TESTS + 'type: "AdaDelta" momentum: 0.9 delta: 1e-4'),
    Case("prefetch", TESTS + "momentum: 0.9", reading="prefetch: 7"),
    Case("no_prefetch", "display: 1 momentum: 0.9", reading="prefetch: 0"),
    Case("batch_norm", TESTS + "momentum: 0.9", drawn.NORM + drawn.DROP),
    Case("without_seed", TESTS + "momentum: 0.9", solver=drawn.SOLVER.replace("random_seed: 3", "")),
    Case("hdf5", TESTS + "momentum: 0.9 snapshot_format: HDF5"),
]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn.database(tmp_path)


def train(*more: str) -> None:
    assert main(["train", "--solver=solver.prototxt", "--exact-resume", *more]) == 0


def shown(said: str) -> list[str]:
    """What the log says of losses, rates and scores, without the clock."""
    places = r"solver.cpp:239|solver.cpp:258|sgd_solver.cpp:112|solver.cpp:414|solver.cpp:327"
    found = re.findall(rf"^I.* (?:{places})\] (.*)$", said, re.MULTILINE)
    return [re.sub(r"\(\S+ iter/s, \S+s/\d+ iters\)", "", line) for line in found]


@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(case, at, tmp_path, capfd):
    end = ".h5" if "HDF5" in case.more else ""
    if end:
        pytest.importorskip("h5py")
    drawn.write(
        tmp_path,
        f"snapshot: {at} {case.more}",
        case.middle,
        transform=case.transform,
        reading=case.reading,
        solver=case.solver,
    )
    train()
    whole = shown(capfd.readouterr().err)
    last = [f"run_iter_6.caffemodel{end}", f"run_iter_6.solverstate{end}", "run_iter_6.resume"]
    for name in last:
        shutil.move(name, f"whole_{name}")
    train(f"--snapshot=run_iter_{at}.solverstate{end}")
    rest = shown(capfd.readouterr().err)
    assert rest == whole[-len(rest) :] and len(rest) > 2
    assert all(Path(name).read_bytes() == Path(f"whole_{name}").read_bytes() for name in last[: 1 if end else 2])
    ours, theirs = (resume.read(f"{name}run_iter_6.solverstate")[0] for name in ("", "whole_"))
    assert ours.facts == theirs.facts
    assert all(np.array_equal(ours.arrays[name], theirs.arrays[name]) for name in theirs.arrays)


def test_recurrent_states_and_drawn_tops_go_on(tmp_path):
    # The test net has batches of 3: its own count of streams.
    drawn.write(tmp_path, "momentum: 0.9", RECURRENT % (3, 3), batch=3)
    whole = Solver("solver.prototxt", log_nets=False, exact_resume=True)
    whole.step(2)
    whole.snapshot()
    whole.step(2)
    noise = whole.net.run(keep=True).values["noise"]
    again = Solver("solver.prototxt", log_nets=False, exact_resume=True)
    again.restore("run_iter_2.solverstate")
    again.step(2)
    assert np.array_equal(again.net.run(keep=True).values["noise"], noise)
    for ours, theirs in zip(again.net.layer("lstm").state, whole.net.layer("lstm").state, strict=True):
        assert theirs.abs().sum() > 0 and np.array_equal(ours.numpy(), theirs.numpy())


def test_a_snapshot_asked_for_within_a_test_is_of_the_moment_before_it(tmp_path):
    drawn.write(tmp_path, "momentum: 0.9 test_iter: 4 test_interval: 2 test_initialization: false", drawn.DROP)
    whole = Solver("solver.prototxt", log_nets=False, exact_resume=True)
    whole.solve()
    broken = Solver("solver.prototxt", log_nets=False, exact_resume=True)
    calls = iter(range(1, 100))
    # Calls 1 and 2 come after the updates, 3 to 6 before the batches of the test at iteration 2.
    broken.poll = lambda: Action.STOP if next(calls) == 5 else Action.NONE
    broken.solve()
    assert broken.iter == 2 and Path("run_iter_2.solverstate").exists()
    resumed = Solver("solver.prototxt", log_nets=False, exact_resume=True)
    resumed.solve("run_iter_2.solverstate")
    assert resume.capture(resumed).facts == resume.capture(whole).facts


def test_the_default_restarts_the_data_and_says_so(tmp_path, capfd):
    drawn.write(tmp_path, "momentum: 0.9 display: 1")
    train("--iterations=3")
    assert main(["train", "--solver=solver.prototxt", "--snapshot=run_iter_3.solverstate"]) == 0
    said = capfd.readouterr().err
    assert "data_layer.cpp:73] Restarting data prefetching from start." in said
    assert "run_iter_3.resume is not used; --exact-resume would go on where the data was" in said


def solver_of(batch: int = 4, **how) -> Solver:
    drawn.write(Path(), "momentum: 0.9", batch=batch)
    return Solver(read_solver("solver.prototxt"), log_nets=False, **how)


def damaged() -> None:
    name = Path("run_iter_1.resume")
    name.write_bytes(name.read_bytes()[:700])


def of_another_solver() -> None:
    net = Path("net.prototxt")
    net.write_text(net.read_text().replace('name: "data"', 'name: "other"'))


# what is done to the files of a snapshot at 1, and what is said
UNFIT = [
    (lambda: Path("run_iter_1.resume").unlink(), "the snapshot was written without --exact-resume. Leave the flag out"),
    (damaged, "run_iter_1.resume: not a file that --exact-resume can read"),
    (
        lambda: Path("run_iter_1.resume").write_bytes(b"no"),
        "run_iter_1.resume: not a file that --exact-resume can read",
    ),
    (of_another_solver, "layers 0/0/data; here it is iteration 1 and 0/0/other"),
]


@pytest.mark.parametrize("damage, message", UNFIT)
def test_a_file_that_does_not_fit(damage, message):
    solver = solver_of(exact_resume=True)
    solver.step(1)
    solver.snapshot()
    damage()
    again = Solver(read_solver("solver.prototxt"), log_nets=False, exact_resume=True)
    with pytest.raises(SolverError, match=re.escape(message)):
        again.restore("run_iter_1.solverstate")


def test_a_plain_snapshot_removes_the_file_of_an_older_run():
    for exact in (True, False):
        solver = solver_of(exact_resume=exact)
        solver.step(1)
        solver.snapshot()
        assert Path("run_iter_1.resume").exists() == exact


def test_on_a_gpu_kernels_that_keep_their_order_are_chosen(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda on, warn_only: chosen.append((on, warn_only)))
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    resume.repeatable(torch.device("cpu"))
    assert not chosen and torch.utils.deterministic.fill_uninitialized_memory
    resume.repeatable(torch.device("cuda"))
    assert chosen == [(True, True)] and not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"  # the user's own setting stays
