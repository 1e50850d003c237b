"""The paper's commands on a few drawn pictures: a parser to labels, a row of table 1, figures, predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe_port.cli.main import main
from caffe_port.par.parsing import pseudo
from tests.par import nets
from tests.par.trees import rap_struct, write_rap


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")


def test_from_a_parser_to_labels(tmp_path, capsys):
    nets.data(tmp_path / "data")
    settings = ["--blocks", "1,1,1,1", "--width", "2", "--set", "aspp=()", "--set", "iterations=1", "--set", "batch=2"]
    assert main(["par", "parser", "drawn", "--data", "data", "--out", "nets", *settings]) == 0
    assert main(["par", "train", "nets", "--out", "run"]) == 0
    assert "the body parser starts from ImageNet's ResNet-101" in capsys.readouterr().err
    weights = "run/parser_iter_1.caffemodel"
    assert main(["par", "evaluate-parser", "nets/train_val.prototxt", weights, "--out", "measures.json"]) == 0
    assert json.loads((tmp_path / "measures.json").read_text())["samples"] == 5
    model = ["--model", "nets/deploy.prototxt", "--weights", weights]
    assert main(["par", "pseudo-label", "data", "--out", "labels", "--model", "run"]) == 0
    drawn = ["--dataset", "drawn", "--option", "train=2", "--option", "test=1", "--option", "size=32x16"]
    assert main(["par", "pseudo-label", "-", *drawn, "--out", "maps", *model]) == 0
    assert "11 pictures labelled" in capsys.readouterr().out
    assert (tmp_path / "labels" / "test_seg_lmdb").is_dir() and (tmp_path / "maps" / "s0_000002.png").exists()


def test_a_row_of_table_1_and_what_follows(tmp_path, capsys):
    nets.data(tmp_path / "data")
    plan = ["--dataset", "drawn", "--data", "data", "--out", "out", "--epochs", "2", "--width", "2", "--batch", "3"]
    assert main(["par", "experiment", "table1", *plan, "--only", "baseline"]) == 0
    told = capsys.readouterr().err
    assert "NO INITIAL WEIGHTS" in told and "NO SEGMENTATION TRUTH" not in told
    assert main(["par", "experiment", "table1", *plan, "--seed", "2", "--only", "baseline"]) == 0
    out = capsys.readouterr().out
    assert "| baseline |" in out and "Not finished yet: multitask_weighted_seed1" in out and "2 seeds (1, 2)" in out
    assert main(["par", "experiment", "table1", "--out", "out", "--collect"]) == 0  # by the settings that out keeps
    assert capsys.readouterr().out.splitlines()[:-3] == out.splitlines()[:-3]
    assert main(["par", "experiment", "table1", *plan, "--width", "4"]) == 1
    assert "begun with other settings (width: 2, now 4)" in capsys.readouterr().err
    assert main(["par", "understand", "out"]) == 0
    run = "out/baseline_weighted_seed1"
    assert main(["par", "figures", run, "--pictures", "2", "--maps", "2"]) == 0
    assert main(["par", "predict", f"{run}/figure5.png", "--model", run, "--out", "said"]) == 0
    assert main(["par", "time", "--variants", "baseline", "--width", "2", "--size", "32x16", "--repeats", "1",
                 "--batch", "1", "--out", "times.json"]) == 0  # fmt: skip
    for made in ("out/table1.html", "out/understanding.html", f"{run}/figure5.png", "said/figure5.png", "times.json"):
        assert (tmp_path / made).stat().st_size > 100, made


def learnable():
    """RAP with pictures of both kinds of every attribute, which the weighted loss needs."""
    struct = rap_struct(30)
    struct["label"][:, :51] = np.arange(30 * 51).reshape(30, 51) % 2
    return struct


def test_data_without_segmentation_are_told_loudly(tmp_path, capsys):
    """A second task that sees no label teaches nothing."""
    write_rap(tmp_path / "rap", learnable())
    plan = ["--dataset", "rap", "--root", "rap", "--split", "2", "--size", "32x16", "--data", "data", "--out", "out"]
    plan += ["--epochs", "1", "--width", "2"]
    assert main(["par", "experiment", "table1", *plan, "--only", "multitask"]) == 0
    told = capsys.readouterr()
    assert "NO SEGMENTATION TRUTH in data: " in told.err and "pseudo-label data --model PARSER" in told.err
    assert "Segmentation truth: NONE" in told.out and "| 81.38 |" in told.out
    assert main(["par", "experiment", "table1", *plan, "--size", "48x24", "--only", "multitask"]) == 1
    assert "was prepared otherwise (size: [32, 16], now [48, 24])" in capsys.readouterr().err


def test_one_command_from_the_owners_tree_to_the_table(tmp_path, capsys, monkeypatch):
    """Prepared, labelled by a body parser, trained; interrupted while labelling, the same command goes on."""
    write_rap(tmp_path / "rap", learnable())
    parser, weights = nets.parser(tmp_path / "parser", tmp_path / "none")
    (tmp_path / "run").mkdir()
    weights.rename(tmp_path / "run" / "parser_iter_1.caffemodel")
    (tmp_path / "run" / "run.json").write_text(json.dumps({"nets": "parser"}))
    rest = ["--dataset", "rap", "--data", "data", "--out", "out", "--epochs", "1", "--width", "2"]
    rest += ["--only", "multitask"]
    command = ["par", "experiment", "table1", "--root", "rap", "--size", "32x16", "--parser", "run", *rest]

    def stop_at_test(*arguments):
        if "test" in arguments:
            raise KeyboardInterrupt
        return label_split(*arguments)

    label_split = pseudo._label_split
    monkeypatch.setattr(pseudo, "_label_split", stop_at_test)
    assert main(command) == 130
    assert main(["par", "experiment", "table1", *rest]) == 1  # half of it labelled is nothing to train on
    assert "`par pseudo-label` was interrupted there" in capsys.readouterr().err and not (tmp_path / "out").exists()
    monkeypatch.setattr(pseudo, "_label_split", label_split)
    assert main(command) == 0
    told = capsys.readouterr()
    assert "NO SEGMENTATION TRUTH" not in told.err
    said = "Data as prepared: {}: segmentation predicted by run/parser_iter_1.caffemodel."
    assert all(said.format(split) in told.out for split in ("train", "test"))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p.name != "lock.mdb"}
    assert main(command) == 0  # nothing is made again but the table
    after = {p for p in before if p.stat().st_mtime_ns != before[p]}
    assert {p.name for p in after} == {"plan.json", "table1.json", "table1.md", "table1.html"}


REFUSED = [
    (["par", "experiment", "table1"], "give --dataset and --data"),
    (["par", "experiment", "table1", "--dataset", "ccp"], "give --dataset and --data"),
    (["par", "experiment", "table1", "--collect", "--out", "no"], "not a folder that `par experiment` wrote"),
    (["par", "experiment", "table1", "--dataset", "ccp", "--data", "no"], "not a folder that `par prepare` finished"),
    (["par", "understand", "nowhere"], "not a folder that `par experiment` wrote"),
    (["par", "parser", "mine"], "give train_images and test_images"),
    (["par", "parser", "--set", "depth=5"], "there is no setting 'depth'; there are"),
    (["par", "predict", "x.jpg", "--model", "nowhere"], "there is no such model"),
    (["par", "pseudo-label", "x", "--out", "o", "--model", "nowhere"], "there is no such model"),
    (["par", "figures", "train_val.prototxt"], "give its weights too"),
]


@pytest.mark.parametrize("argv, message", REFUSED)
def test_refused_in_one_line(argv, message, capsys):
    assert main(argv) == 1
    said = capsys.readouterr().err
    assert said.startswith("caffe-port: error: ") and message in said and said.count("\n") == 1
