"""The commands' logs, line by line and in order, against what a genuine Caffe printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from caffe_port.cli.main import main
from caffe_port.proto.binary import read_net, read_solverstate

GOLDEN = Path(__file__).parents[1] / "golden" / "cli"
# Said by Caffe's reading threads, at moments of their own.
OF_THREADS = ("Waiting for data", "Restarting data prefetching from start.")
STAMP = re.compile(r"^([IWEF])\d{4,8} \d\d:\d\d:\d\d\.\d{6} +\d+ ")
OWN = [  # of each run: its times, and the loss of weights that no seed decided
    (re.compile(r"\(\S+ iter/s, \S+s/(\d+) iters\)"), r"(... /\1 iters)"),
    (re.compile(r"Initial loss: .*"), "Initial loss: that of a random start"),
    (re.compile(r"\b(time|forward|backward|pass|Forward-Backward|Time): \S+ ms"), r"\1: ... ms"),
]

RUNS = [
    ("train.log", ["train", "--solver=solver.prototxt", "--weights=init.caffemodel"]),
    ("resume.log", ["train", "--solver=solver.prototxt", "--snapshot=snap/tiny_iter_10.solverstate"]),
    ("test.log", ["test", "-model", "net.prototxt", "-weights", "snap/tiny_iter_25.caffemodel", "-iterations", "5"]),
    ("time.log", ["time", "--model=net.prototxt", "--iterations=2"]),
]


def lines(text: str) -> list[str]:
    out = []
    for line in text.splitlines():
        line = STAMP.sub(r"\1 ", line)
        for pattern, instead in OWN:
            line = pattern.sub(instead, line)
        if not line.endswith(OF_THREADS):
            out.append(line)
    return out


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copytree(GOLDEN, tmp_path / "cli")
    monkeypatch.chdir(tmp_path / "cli")
    return tmp_path / "cli"


@pytest.mark.parametrize("log, argv", RUNS, ids=[run[0] for run in RUNS])
def test_log(log, argv, folder, capfd):
    assert main(argv) == 0
    ours, theirs = lines(capfd.readouterr().err), lines((GOLDEN / log).read_text())
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b and not same_but_last_digit(a, b):
            assert a == b, (
                f"line {number} of {log} without thread lines; before it: {theirs[max(0, number - 3) : number]}"
            )
    assert len(ours) == len(theirs)


def same_but_last_digit(a: str, b: str) -> bool:
    """Six digits are printed; float32 sums in another order may round the last of them the other way."""
    number = r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"
    if re.sub(number, "#", a) != re.sub(number, "#", b):
        return False
    pairs = zip(re.findall(number, a), re.findall(number, b), strict=True)
    return all(x == y or abs(float(x) - float(y)) <= 2e-5 * abs(float(y)) for x, y in pairs)


def test_train_writes_the_snapshots_that_caffe_wrote(folder, capfd):
    theirs = {p.name: p.read_bytes() for p in (folder / "snap").iterdir()}
    shutil.rmtree("snap")
    Path("snap").mkdir()
    assert main(["train", "--solver=solver.prototxt", "--weights=init.caffemodel"]) == 0
    assert {p.name for p in Path("snap").iterdir()} == set(theirs)
    Path("theirs").mkdir()
    for name, data in theirs.items():
        Path("theirs", name).write_bytes(data)
    # The files of iteration 10 are the uninterrupted run's; the later ones in the folder are of the run resumed there.
    ours, expected = (read_solverstate(f"{d}/tiny_iter_10.solverstate") for d in ("snap", "theirs"))
    assert ours[0].iter == expected[0].iter and ours[0].current_step == expected[0].current_step
    assert ours[0].learned_net == expected[0].learned_net
    for a, b in zip(ours[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max(), rtol=0)
    ours, expected = (read_net(f"{d}/tiny_iter_10.caffemodel").layers for d in ("snap", "theirs"))
    assert [(x.name, x.type, len(x.blobs)) for x in ours] == [(x.name, x.type, len(x.blobs)) for x in expected]
    for x, y in zip(ours, expected, strict=True):
        for a, b in zip(x.blobs, y.blobs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max(), rtol=0)
