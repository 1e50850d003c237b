"""The command line: Caffe's spellings, help, and how every kind of end looks."""

from __future__ import annotations

import re

import pytest
import torch

from caffe_port import __version__
from caffe_port.cli.flags import normalise, tell_unused
from caffe_port.cli.main import COMMANDS, main, parser
from tests.solver import valley

NAMES = [module.NAME for module in COMMANDS]
SPELLINGS = [
    ("train -solver=a.prototxt", "train --solver=a.prototxt"),
    ("train -solver a.prototxt -gpu 0,1", "train --solver a.prototxt --gpu 0,1"),
    ("train --solver=a --sigint-effect=none", "train --solver=a --sigint_effect=none"),
    ("train -sighup_effect stop", "train --sighup_effect stop"),
    ("-solver=a train", "train --solver=a"),
    ("-gpu 0 test -model m", "test --gpu 0 --model m"),
    ("test -weights=my-net_v1.caffemodel", "test --weights=my-net_v1.caffemodel"),
    ("inspect -h", "inspect -h"),
    ("--preflight net.prototxt", "inspect --preflight net.prototxt"),
    ("time -iterations -5", "time --iterations -5"),
    ("convert -- -odd-name out.onnx", "convert -- -odd-name out.onnx"),
]


@pytest.mark.parametrize("given, expected", SPELLINGS)
def test_spelling(given, expected):
    assert normalise(given.split(), NAMES) == expected.split()


SWITCHES = [
    ("", False), ("-sync_bn", True), ("--sync-bn=true", True), ("--sync_bn=0", False), ("-sync_bn --nosync_bn", False),
    ("-nosync_bn -sync_bn=yes", True), ("-logtostderr=1 -sync_bn", True),
]  # fmt: skip


@pytest.mark.parametrize("words, on", SWITCHES)
def test_switches_as_gflags_have_them(words, on):
    args = parser().parse_args(normalise(["train", "-solver=s", *words.split()], NAMES))
    assert args.sync_bn is on


def test_a_switch_takes_no_other_value(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["train", "--solver=s", "--sync_bn=maybe"])
    assert "--sync_bn is a switch: true or false, not 'maybe'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train", "test", "time", "device_query"])
def test_a_command_takes_all_flags_of_caffes_program_and_tells_those_it_does_not_read(name, capsys):
    given = {"solver": "s", "model": "m", "weights": "w", "phase": "TEST", "sighup_effect": "none", "iterations": "3"}
    tell_unused(parser().parse_args([name, *(f"--{flag}={value}" for flag, value in given.items())]))
    said = capsys.readouterr().err
    read = {"train": "solver weights sighup_effect iterations", "test": "model weights iterations",
            "time": "model phase iterations", "device_query": ""}[name].split()  # fmt: skip
    for flag in given:
        assert (f"{name} does not read --{flag}, as in Caffe" in said) == (flag not in read)


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"caffe-port version {__version__}\n"


def test_log_dir_keeps_the_log_and_the_error_that_ends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "0")
    valley.write(tmp_path)
    (tmp_path / "logs").mkdir()
    assert main(["train", "-solver=solver.prototxt", "-log_dir=logs", "-logtostderr"]) == 0
    (file,) = (p for p in (tmp_path / "logs").iterdir() if not p.is_symlink())
    kept = (tmp_path / "logs" / "caffe-port.INFO").read_text()
    assert kept == file.read_text() and kept.splitlines()[3:] == capsys.readouterr().err.splitlines()
    assert main(["train", "-solver=none.prototxt", "-log_dir=logs"]) == 1
    assert "] none.prototxt: cannot be read" in (tmp_path / "logs" / "caffe-port.INFO").read_text()
    capsys.readouterr()
    assert main(["train", "-solver=solver.prototxt", "-log_dir=nowhere"]) == 1
    assert re.fullmatch("caffe-port: error: nowhere/.*: No such file or directory\n", capsys.readouterr().err)
    assert main(["train", "-solver=solver.prototxt", "-phase=TEST", "-log_dir=logs"]) == 0
    assert "train does not read --phase" in (tmp_path / "logs" / "caffe-port.INFO").read_text()
    capsys.readouterr()
    assert main(["train", "-solver=solver.prototxt", "-phase=TEST", "-minloglevel=2"]) == 0
    assert capsys.readouterr().err == ""


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0 and all(name in shown for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0 and len(capsys.readouterr().out) > 200


@pytest.mark.parametrize(
    "argv", [[], ["nonsense"], ["train"], ["train", "--solver=a", "--gp=0"], ["time", "--model=a", "--iterations=0"]]
)
def test_a_command_line_without_sense_is_status_2(argv, capsys):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2 and "error:" in capsys.readouterr().err


ERRORS = [
    (["train", "--solver=none.prototxt"], "none.prototxt: cannot be read: No such file or directory"),
    (["train", "--solver=solver.prototxt", "--snapshot=a", "--weights=b"], "not both"),
    (["train", "--solver=solver.prototxt", "--weights=b.caffemodel"], "there is no file 'b.caffemodel'"),
    (["train", "--solver=solver.prototxt", "--snapshot=b.solverstate"], "there is no file 'b.solverstate'"),
    (["train", "--solver=net.prototxt"], "net.prototxt:"),
    (["test", "--model=none.prototxt", "--weights=w"], "none.prototxt: cannot be read"),
    (["test", "--model=net.prototxt", "--weights=w.caffemodel"], "w.caffemodel"),
    (["inspect", "none.prototxt"], "none.prototxt: cannot be read"),
    (["inspect", "net.prototxt", "--input", "data"], "--input 'data' is not of the form name:1,3,224,224"),
]


@pytest.mark.parametrize("argv, message", ERRORS)
def test_an_error_is_one_line_and_status_1(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "3")
    valley.write(tmp_path)
    assert main(argv) == 1
    said = capsys.readouterr().err
    assert said.startswith("caffe-port: error: ") and message in said and said.count("\n") == 1


def test_the_traceback_is_there_when_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CAFFE_PORT_TRACEBACK", "1")
    assert main(["inspect", str(tmp_path / "none.prototxt")]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--gpu=0", "--gpu=all"])
def test_a_gpu_is_asked_for_and_none_is_there(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    valley.write(tmp_path)
    assert main(["train", "--solver=solver.prototxt", flag]) == 0
    said = capsys.readouterr().err
    assert (
        f"{flag}, but no CUDA device can be used here; running on the CPU" in said and "caffe.cpp:197] Use CPU." in said
    )


def test_solver_mode_gpu_warns_only_when_it_is_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for more, warned in [("", False), ("solver_mode: CPU", False), ("solver_mode: GPU", True)]:
        assert main(["train", "--solver", valley.write(tmp_path, more)]) == 0
        assert ("solver_mode: GPU, but no CUDA device" in capsys.readouterr().err) == warned


def test_a_gpu_that_is_not_there_beside_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for flag, message in [
        ("5", "there is no GPU 5; 2 can be used"),
        ("x", "give GPU numbers"),
        ("-1", "there is no GPU -1; 2 can be used"),
        ("0,1", "give a single number"),
    ]:
        assert main(["train", "--solver", valley.write(tmp_path), f"--gpu={flag}"]) == 1
        assert message in capsys.readouterr().err


def test_test_and_time_use_the_first_gpu_as_in_caffe(monkeypatch, capsys):
    from caffe_port.cli.device import announce

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", lambda number: None)
    assert announce("1,0", "caffe.cpp:275", "caffe.cpp:266").index == 1
    said = capsys.readouterr().err
    assert "GPU 1 alone is used, as in Caffe" in said and "Use GPU with device ID 1" in said


def test_device_query_without_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["device_query"]) == 0
    assert "No GPU to query" in capsys.readouterr().err


def test_iterations_of_train_stop_with_a_snapshot_that_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    valley.write(tmp_path, "momentum: 0.9")
    assert main(["train", "-solver=solver.prototxt", "-iterations=4"]) == 0
    assert "Optimization stopped early." in capsys.readouterr().err
    assert main(["train", "-solver=solver.prototxt", "-snapshot=run_iter_4.solverstate"]) == 0
    resumed = (tmp_path / "run_iter_6.caffemodel").read_bytes()
    assert main(["train", "-solver=solver.prototxt"]) == 0
    assert (tmp_path / "run_iter_6.caffemodel").read_bytes() == resumed


def test_a_gpu_without_enough_memory(monkeypatch, capsys):
    def run(args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")

    monkeypatch.setattr("caffe_port.cli.device_query.run", run)
    assert main(["device_query"]) == 1
    said = capsys.readouterr().err
    assert "too little memory: CUDA out of memory. A smaller batch_size needs less" in said and "Traceback" not in said
