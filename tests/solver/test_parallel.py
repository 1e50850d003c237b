"""Several processes: n ranks of batch b are one process of batch n * b, and a resumed run is the uninterrupted one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from caffe_port.cli.main import main
from caffe_port.data.db import LMDB, open_db
from caffe_port.proto.binary import read_net, read_solverstate
from tests.solver import drawn, ranks

BATCH = 2
TIED = """
layer { name: "s1" type: "Scale" bottom: "conv" top: "conv" param { name: "s" } scale_param { filler { value: 1.5 } } }
layer { name: "s2" type: "Scale" bottom: "conv" top: "conv" param { name: "s" } }
"""


@dataclass
class Case:
    """`argv`: what the ranks are given more than one process is."""

    name: str
    more: str
    middle: str = ""
    argv: list[str] = field(default_factory=list)


CASES = [
    Case("sgd", 'type: "SGD" momentum: 0.9 weight_decay: 0.01 test_iter: 2 test_interval: 4 display: 3'),
    Case("l1", 'momentum: 0.9 weight_decay: 0.01 regularization_type: "L1"'),
    Case("iter_size", 'type: "Nesterov" momentum: 0.9 iter_size: 3 weight_decay: 0.01'),
    Case("adam", 'type: "Adam" momentum: 0.9 clip_gradients: 0.3 iter_size: 2'),
    Case("no_diff", "momentum: 0.9 weight_decay: 0.01", drawn.ASIDE),
    Case("tied", "momentum: 0.9", TIED),
    Case("debug_info", "momentum: 0.9 debug_info: true display: 2", drawn.ASIDE),
    Case("sync_bn", "momentum: 0.9 iter_size: 2 display: 3", drawn.NORM, ["--sync-bn"]),
    Case("sync_bn_adam", 'type: "Adam" momentum: 0.9', drawn.NORM, ["--sync-bn"]),
]
APART = Case("apart", "momentum: 0.9 iter_size: 2", drawn.NORM)
FOUR = ("sgd", "adam", "sync_bn")
RUNS = [("two", case) for case in CASES] + [("four", case) for case in CASES if case.name in FOUR]
TRAIN = ["train", "--solver=solver.prototxt"]
TEST = ["test", "--model=net.prototxt", "--weights=run_iter_6.caffemodel", "--iterations=7"]
FEATURES = ["extract_features", "run_iter_6.caffemodel", "net.prototxt", "ip,label", "ip_lmdb,label_lmdb", "5", "lmdb"]


@dataclass
class Runs:
    """What `world` processes left: a folder a case, and what each rank said."""

    world: int
    base: Path
    said: list[str]


def do(world: int, base: Path, cases: list[Case], jobs: Sequence[ranks.Job] = ()) -> Runs:
    own = [(written(base / case.name, case, BATCH), [*TRAIN, *case.argv]) for case in cases]
    return Runs(world, base, ranks.run([*own, *jobs], world))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    base = tmp_path_factory.mktemp("two")
    random = Case("random", "momentum: 0.9 average_loss: 3 display: 1", drawn.DROP)
    whole, parts = (
        written(base / name, random, BATCH, "scale: 0.01 crop_size: 5 mirror: true") for name in ("whole", "parts")
    )
    jobs = [
        (base / "sgd", TEST),
        (base / "sgd", FEATURES),
        (whole, [*TRAIN, "--exact-resume"]),
        (parts, [*TRAIN, "--exact-resume", "--iterations=2"]),
        (parts, [*TRAIN, "--exact-resume", "--snapshot=run_iter_2.solverstate"]),
    ]
    return do(2, base, [*CASES, APART], jobs)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    return do(4, tmp_path_factory.mktemp("four"), [case for case in CASES if case.name in FOUR])


def written(folder: Path, case: Case, batch: int, transform: str = "scale: 0.01") -> Path:
    folder.mkdir()
    drawn.database(folder)
    drawn.write(folder, case.more, case.middle, batch, transform)
    return folder


def snapshot(folder: Path) -> dict[str, np.ndarray]:
    """All numbers of the last snapshot, by name."""
    layers, history = (
        read_net(folder / "run_iter_6.caffemodel").layers,
        read_solverstate(folder / "run_iter_6.solverstate")[1],
    )
    out = {f"{layer.name} {i}": blob for layer in layers for i, blob in enumerate(layer.blobs)}
    return out | {f"history {i}": blob for i, blob in enumerate(history)}


def lines(said: str, place: str) -> list[str]:
    return re.findall(rf"^I.* {place}\] (.*)$", said, re.MULTILINE)


@pytest.mark.parametrize("world, case", RUNS, ids=[f"{case.name}-{world}" for world, case in RUNS])
def test_ranks_are_one_process_of_the_whole_batch(world, case, tmp_path, monkeypatch, request):
    runs = request.getfixturevalue(world)
    monkeypatch.chdir(written(tmp_path / "one", case, BATCH * runs.world))
    assert main(TRAIN) == 0
    ours, theirs = snapshot(runs.base / case.name), snapshot(Path())
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        # Sums in another order: a few roundings of the largest value, in six iterations that build on each other.
        # What Adam divides by is near zero at first, which magnifies them.
        bound = (3e-4 if "Adam" in case.more else 2e-5) * max(np.abs(expected).max(initial=0), 1e-3)
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=bound, err_msg=name)


def test_batch_norm_without_sync_is_of_each_ranks_batch(two):
    assert not np.allclose(snapshot(two.base / "apart")["norm 1"], snapshot(two.base / "sync_bn")["norm 1"], rtol=0.01)


def test_rank_0_alone_speaks(two):
    assert all(re.search("data_layer|solver.cpp|caffe.cpp", other) is None for other in two.said[1:])
    assert lines(two.said[0], "solver.cpp:239") and lines(two.said[0], "solver.cpp:414")


def test_the_test_command_prints_what_one_process_prints(two, monkeypatch, capfd):
    monkeypatch.chdir(two.base / "sgd")
    assert main(TEST) == 0
    one = capfd.readouterr().err
    for place in ("caffe.cpp:304", "caffe.cpp:309", "caffe.cpp:321"):
        assert lines(two.said[0], place) == lines(one, place)
    assert len(lines(one, "caffe.cpp:304")) == 14


def test_features_of_ranks_are_those_of_one_process(two, tmp_path, monkeypatch):
    from tools import extract_features

    monkeypatch.chdir(two.base / "sgd")
    alone = [word.replace("_lmdb", f"_{tmp_path.name}") for word in FEATURES[1:]]
    assert extract_features.tool.run(extract_features.main, alone) == 0
    for name in ("ip", "label"):
        ours, theirs = (records(f"{name}_{end}") for end in ("lmdb", tmp_path.name))
        assert ours == theirs and len(ours) == 15


def records(path: str) -> list[tuple[bytes, bytes]]:
    db = open_db(path, LMDB)
    cursor, found = db.cursor(), []
    cursor.first()
    while True:
        found.append((bytes(cursor.key), bytes(cursor.value)))
        if cursor.next():
            cursor.close()
            db.close()
            return found


def test_an_exactly_resumed_run_of_ranks_has_the_uninterrupted_ones_bits(two):
    whole, parts = snapshot(two.base / "whole"), snapshot(two.base / "parts")
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    shown = [m for m in lines(two.said[0], "solver.cpp:239")][-13:]
    losses = [re.search(r"Iteration (\d+) .*(loss = .*)", m).groups() for m in shown]
    # Six of the whole run, the first two again, then four resumed.
    assert losses[-6:] == losses[-12:-6]


def test_another_number_of_processes_cannot_resume_exactly(two, monkeypatch, capsys):
    monkeypatch.chdir(two.base / "parts")
    assert main([*TRAIN, "--exact-resume", "--snapshot=run_iter_2.solverstate"]) == 1
    assert "run_iter_2.resume: it was written by 2 processes, this run has 1" in capsys.readouterr().err
