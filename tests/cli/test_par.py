"""`par prepare`, `prototxt` and `evaluate` on a few drawn pictures, and the refusals."""

from __future__ import annotations

import json

import pytest

from caffe_port.cli.main import main
from caffe_port.weights import read_layers

PREPARE = ["par", "prepare", "drawn", "--size", "32x16", "--option", "train=6", "--option", "test=4", "--out", "data"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")


def test_from_a_data_set_to_measures(tmp_path, capsys):
    assert main(PREPARE) == 0
    out = capsys.readouterr().out
    assert "records" in out and "positive rates, percent" in out and "drawn: 32x16 pictures" in out

    sizes = [
        "--width",
        "2",
        "--loss",
        "original",
        "--set",
        "batch=2",
        "--set",
        "stage1_iterations=1",
        "--set",
        "joint_iterations=1",
    ]
    assert main(["par", "prototxt", "drawn", "--data", "data", "--out", "nets", "--variant", "baseline", *sizes]) == 0
    assert (tmp_path / "nets" / "train_val.prototxt").exists()
    assert main(["inspect", "nets/train_val.prototxt", "--preflight"]) == 0

    assert main(["par", "train", "nets", "--out", "run", "--data", "data"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "run/joint_iter_1.caffemodel" and "NO INITIAL WEIGHTS" in said.err
    names = [layer.name for layer in read_layers(tmp_path / "run/joint_iter_1.caffemodel") if layer.blobs]
    rules = "".join(f"  - {{from: {name}, to: {name}}}\n" for name in names)
    (tmp_path / "map.yaml").write_text(f"rules:\n{rules}")
    start = ["--weights", "run/joint_iter_1.caffemodel", "--map", "map.yaml"]
    assert main(["par", "train", "nets", "--out", "again", *start]) == 0
    assert "NO INITIAL WEIGHTS" not in capsys.readouterr().err
    assert "keep their filler" not in (tmp_path / "again" / "start.txt").read_text()
    (tmp_path / "other.yaml").write_text("rules: [{from: fc8, to: [fc8]}]")
    assert main(["par", "train", "nets", "--out", "third", *start[:-1], "other.yaml"]) == 1
    assert "other.yaml: names no layer of run/joint_iter_1.caffemodel" in capsys.readouterr().err
    command = ["par", "evaluate", "nets/train_val.prototxt", "run/joint_iter_1.caffemodel", "--data", "data"]
    assert main([*command, "--out", "measures", "--pictures", "2", "--batch", "2"]) == 0
    assert "chance" in capsys.readouterr().out
    assert json.loads((tmp_path / "measures" / "evaluation.json").read_text())["samples"] == 4
    assert main(["par", "report", "measures", "--page"]) == 0
    assert (tmp_path / "measures" / "report.html").exists()


REFUSED = [
    (["par", "prepare", "drawn", "--out", "d", "--option", "colour=1"], "has the options train, val, test, seed, size"),
    (["par", "prepare", "drawn", "--out", "d", "--option", "train"], "give it as NAME=VALUE"),
    (["par", "prepare", "drawn", "--out", "d", "--limit", "few"], "give a number, or train=N,test=M"),
    (["par", "prepare", "peta", "--out", "d"], "needs the folder that it is unpacked in"),
    (["par", "prototxt", "mine"], "give --attributes, or --data"),
    (["par", "prototxt", "rap", "--attributes", "51", "--set", "depth=5"], "there is no setting 'depth'; there are"),
    (["par", "prototxt", "rap", "--attributes", "51", "--variant", "best"], "variant 'best' is none of"),
    (["par", "prototxt", "rap", "--data", "nowhere"], "not a folder that `par prepare` finished"),
    (["par", "train", "nowhere", "--out", "run"], "holds no solver_joint.prototxt"),
    (["par", "report", "nowhere"], "nowhere"),
]


@pytest.mark.parametrize("argv, message", REFUSED)
def test_refused_in_one_line(argv, message, capsys):
    assert main(argv) == 1
    said = capsys.readouterr().err
    assert said.startswith("caffe-port: error: ") and message in said and said.count("\n") == 1
