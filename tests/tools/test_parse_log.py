"""parse_log: the rows of Caffe's own parse_log.py, from logs of both forms of glog."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from caffe_port.cli.training_log import tables
from caffe_port.errors import DataError
from tests.tools.scripts import GOLDEN, run

HERE = GOLDEN / "cli"
TRAIN = """NumIters,Seconds,LearningRate,aux,loss
0.0,0.000375,0.05,1.52567,1.52567
5.0,0.001432,0.05,0.898804,0.898804
10.0,0.002123,0.05,0.266548,0.266548
15.0,0.002328,0.04,1.06796,1.06796
20.0,0.002881,0.04,0.968319,0.968319
"""
TEST = """NumIters,Seconds,LearningRate,accuracy,loss
0.0,0.000252,0.05,0.1,1.51299
10.0,0.00205,0.05,0.65,0.885372
20.0,0.002827,0.04,0.7,0.758979
"""


def test_golden_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row has the learning rate that was told before it: at iteration 10 that of iteration 5."""
    assert run("parse_log", HERE / "train.log", tmp_path, "--verbose")[0] == 0
    assert (tmp_path / "train.log.train").read_text() == TRAIN and (tmp_path / "train.log.test").read_text() == TEST
    assert capsys.readouterr().out == f"Wrote {tmp_path}/train.log.train\nWrote {tmp_path}/train.log.test\n"
    run("parse_log", HERE / "train.log", tmp_path, "-delimiter=;")
    assert (tmp_path / "train.log.test").read_text() == TEST.replace(",", ";")


def test_the_stamps_of_older_glog_give_the_same(tmp_path: Path) -> None:
    """They have no year."""
    text = re.sub(r"^([IWEF])\d{4}(\d{4})", r"\1\2", (HERE / "train.log").read_text(), flags=re.MULTILINE)
    (tmp_path / "old.log").write_text(text)
    assert tables(tmp_path / "old.log") == tables(HERE / "train.log")


def lines(*said: str) -> str:
    """Log lines, the first ten in the last seconds of a year, the others in the next one; without years."""
    stamps = [f"I1231 23:59:{i}.000000" for i in range(50, 60)] + [f"I0101 00:00:{i}.000000" for i in range(10, 60)]
    return "".join(f"{stamp}   77 solver.cpp:1] {text}\n" for stamp, text in zip(stamps, said, strict=False))


def test_seconds_go_on_over_new_year(tmp_path: Path) -> None:
    said = ["Solving net", *["Iteration 3, loss = 2"] * 10, "    Train net output #0: loss = 2 (* 1 = 2 loss)"]
    (tmp_path / "x.log").write_text(lines(*said))
    train, test = tables(tmp_path / "x.log")
    assert train[0].pop("LearningRate") != 0 and train == [{"NumIters": 3.0, "Seconds": 21.0, "loss": 2.0}] and not test


def test_numbers_that_are_none_and_rows_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN is a number; the last row lacks an output and is dropped; there is no test net."""
    said = ["Solving net"]
    for i, value in enumerate(("1e-05", "nan", "-inf")):
        said += [f"Iteration {i}, loss = {value}", f"    Train net output #0: a = {value}", "lr = 0.5"]
        said += [f"    Train net output #1: b = {value}"] * (i < 2)
    (tmp_path / "x.log").write_text("a line of something else\n" + lines(*said) + "Traceback: not a log line\n")
    train, test = tables(tmp_path / "x.log")
    assert [row["a"] for row in train][0] == 1e-05 and math.isnan(train[1]["b"]) and len(train) == 2 and not test
    assert train[0]["LearningRate"] == 0.5
    assert run("parse_log", tmp_path / "x.log", tmp_path, "--verbose")[0] == 0
    assert f"Not writing {tmp_path}/x.log.test; no lines to write" in capsys.readouterr().out
    assert not (tmp_path / "x.log.test").exists()


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.log").write_text(lines("Solving net"))
    with pytest.raises(DataError, match="was display 0"):
        tables(tmp_path / "empty.log")
    for argv, message in [
        ((HERE / "test.log", tmp_path), "test.log: no line says 'Solving'"),
        (("none.log", tmp_path), "none.log: No such file or directory"),
        ((HERE / "train.log", tmp_path / "none"), "none/train.log.train: No such file or directory"),
    ]:
        assert run("parse_log", *argv)[0] == 1
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
