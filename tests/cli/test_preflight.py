"""`inspect --preflight` over many files: what each of them is, its outcome, and the summary."""

from __future__ import annotations

import json
import sys

import pytest

from caffe_port.cli.main import main

INPUT = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 10 } } }\n'
CONV = """layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
"""
WARP = 'layer { name: "w" type: "Warpp" bottom: "data" top: "w" }'
SOLVER = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 10 train_net: "nowhere.prototxt"\n'


def data(phase, rule="include", more=""):
    return (
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" {rule} {{ phase: {phase} {more} }} '
        'transform_param { crop_size: 8 force_color: true } data_param { source: "no_lmdb" batch_size: 4 } }\n'
    )


def python(name, bottom, module):
    param = f'python_param {{ module: "{module}" layer: "P" }}'
    return f'layer {{ name: "{name}" type: "Python" bottom: "{bottom}" top: "{name}" {param} }}\n'


# text of the file, its outcome, something that is said of it
FILES = {
    "a net": (INPUT + CONV, "builds", None),
    "a bottom that is behind a Python layer of a missing module": (
        INPUT + python("p", "data", "no_such") + python("q", "p", "no_such_2")
        + 'layer { name: "r" type: "ReLU" bottom: "q" top: "r" }',
        "builds as far as shapes are known",
        "No module named 'no_such_2' (checked without it)",
    ),
    "a loss of a missing module": (
        INPUT + python("loss", "data", "no_such"), "builds as far as shapes are known", "No module named 'no_such'",
    ),
    "an input without a shape": (
        'input: "data"\n' + CONV, "wrong in itself", "input 'data' has no shape: give it an input_shape",
    ),
    "an input without a shape that a layer makes": ('input: "data"\n' + INPUT + CONV, "builds", None),
    "an Input without a shape": (
        'layer { name: "in" type: "Input" top: "data" }\n' + CONV,
        "builds as far as shapes are known",
        "layer 'in' (Input): input 'data' has no shape; give it with --input data:1,3,224,224",
    ),
    "a matrix that is not here": (
        INPUT + 'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 dim: 1 dim: 8 dim: 10 } } }\n'
        'layer { name: "l" type: "InfogainLoss" bottom: "data" bottom: "y" infogain_loss_param { source: "no.bin" } }',
        "builds as far as shapes are known",
        "no.bin",
    ),
    "data that is not here": (data("TRAIN") + data("TEST") + CONV, "builds", "no_lmdb"),
    "a net for one phase": (data("TRAIN") + CONV, "builds", "not a net in phase TEST: layer 'c' (Convolution) reads"),
    "a net for stages only": (
        data("TRAIN", more='stage: "one"') + data("TEST", more='stage: "two"') + CONV,
        "builds",
        "is not in this phase; give --stage one or --stage two",
    ),
    "a net for no state": (
        data("TRAIN", more="min_level: 1") + CONV, "wrong in itself", "not a net in phase TRAIN",
    ),
    "an unknown type": (INPUT + WARP, "names what it lacks", "Warpp"),
    "an unknown V1 type": (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
        'layers { name: "w" type: WARPP bottom: "data" top: "w" } layers { name: "r" type: RELU bottom: "w" top: "r" }',
        "names what it lacks",
        "unknown value 'WARPP'",
    ),
    "an engine of a fork": (INPUT + CONV.replace("size: 3", "size: 3 engine: MKL2017"), "builds", "MKL2017"),
    "a bottom that nobody makes": (INPUT + CONV.replace('bottom: "data"', 'bottom: "dat"'), "wrong in itself", "'dat'"),
    "two makers of one blob, shapes unknown": (
        'layer { name: "a" type: "Input" top: "x" } layer { name: "b" type: "Input" top: "x" }',
        "wrong in itself",
        "top blob 'x' is made by a layer before it already",
    ),
    "text that breaks off": (INPUT + 'layer { name: "x"', "wrong in itself", "is not closed"),
    "a solver": (SOLVER, "solver", "train_net: there is no file 'nowhere.prototxt' here"),
    "a solver with its net inside": (
        SOLVER.replace('train_net: "nowhere.prototxt"', f"train_net_param {{ {INPUT} {CONV} }}"), "solver", None,
    ),
    "a solver with a bad net inside": (
        SOLVER.replace('train_net: "nowhere.prototxt"', f"train_net_param {{ {CONV} }}"), "solver, refused", "'data'",
    ),
    "a solver with a fork's field": (SOLVER + "warmup_iter: 3", "solver, refused", "warmup_iter"),
    "a solver with a fork's policy": (SOLVER.replace("fixed", "inv2"), "solver, refused", "unknown lr_policy 'inv2'"),
    "a solver of an unknown type": (SOLVER + 'type: "Lion"', "solver, refused", "unknown type 'Lion'"),
    "a solver without a net": ('base_lr: 0.1 lr_policy: "fixed"', "solver, refused", "must specify a train net"),
    "a template": (INPUT.replace("dim: 2", "dim: ${batch}") + CONV, "not a net", "'${batch}' is for a program"),
    "another template": ('input: "x" input_dim: {width}', "not a net", "'{width}' is for a program"),
    "a page": ("<!DOCTYPE html><html></html>", "not a net", "HTML"),
    "a conflict": ("<<<<<<< HEAD\n" + INPUT, "not a net", "merge-conflict mark"),
    "labels": ('item { name: "cat" label: 1 }', "not a net", "it has item"),
    "nothing": ("# nothing\n", "not a net", "no field"),
    "bytes": (b"\x08\0\x01", "not a net", "binary"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_outcome(name, tmp_path, monkeypatch, capsys):
    text, outcome, message = FILES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.prototxt").write_bytes(text if isinstance(text, bytes) else text.encode())
    status = main(["inspect", "--preflight", "--json", "file.prototxt"])
    said = capsys.readouterr()
    (report,) = json.loads(said.out)
    assert not said.err
    assert report["outcome"] == outcome
    assert status == (0 if outcome in ("builds", "builds as far as shapes are known", "solver") else 1)
    found = [f["message"] for f in report["findings"]]
    assert any(message in one for one in found) if message else not found


def test_a_net_of_stages_is_checked_in_each(tmp_path, capsys):
    """Stages without a phase, as in the all-in-one nets of DIGITS: both are nets in either phase."""
    path = tmp_path / "net.prototxt"
    path.write_text("".join(data("", more=f'stage: "{stage}"').replace("phase:", "") for stage in "ab") + CONV)
    assert main(["inspect", "--preflight", str(path)]) == 0
    states = [f"2 layers in TRAIN with stage {stage} and TEST with stage {stage}" for stage in "ab"]
    assert f"no problems ({', '.join(states)})" in capsys.readouterr().out


def test_a_problem_of_one_phase_says_which(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    accuracy = 'layer { name: "a" type: "Accuracy" bottom: "c" bottom: "y" top: "a" include { phase: TEST } }\n'
    path.write_text(INPUT + CONV + accuracy + WARP)
    assert main(["inspect", "--preflight", str(path)]) == 1
    of_one, of_both, _ = capsys.readouterr().out.splitlines()
    assert of_one.endswith("unknown bottom blob 'y': no layer before it makes it (in TEST)")
    assert "'Warpp'" in of_both and "(in" not in of_both


def test_what_a_half_read_layer_computes_is_not_held_against_others(tmp_path, capsys):
    """Without its `pad_type` the convolution would have another shape than the data: no mistake of the sum's."""
    path = tmp_path / "net.prototxt"
    total = 'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "c" top: "e" }'
    path.write_text(INPUT + CONV.replace("kernel_size: 3", "kernel_size: 3 pad_type: 1") + total)
    assert main(["inspect", "--preflight", str(path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and "pad_type" in out[0] and "; 1 not checked beyond their type, for want of a shape" in out[1]


def test_an_in_place_layer_behind_data_of_given_shape(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    path.write_text(data("TRAIN") + 'layer { name: "s" type: "Power" bottom: "data" top: "data" }\n' + CONV)
    assert main(["inspect", "--preflight", str(path), "--input", "data:4,3,8,8"]) == 0
    assert "no problems (3 layers in TRAIN)" in capsys.readouterr().out


def test_folders_and_their_summary(tmp_path, capsys):
    """Names that say prototxt are taken, at any depth; a PyTorch `.pt` is not; the summary counts files by outcome."""
    (tmp_path / "deep").mkdir()
    bad = INPUT + WARP
    for name, text in {
        "net.prototxt": INPUT + CONV, "deep/test.pt": bad, "deep/b.prototxt.template": bad, "solver.PROTOTXT": SOLVER,
        "weights.pt": "PK\0\0", "readme.md": "no", "prototxt": "no",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    assert main(["inspect", "--preflight", str(tmp_path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out[-6:]] == [
        ["4", "files:"],
        ["1", "builds"],
        ["2", "names", "what", "it", "lacks"],
        ["1", "solver"],
        ["lacked", "most", "often,", "in", "so", "many", "files:"],
        ["2", "unknown", "layer", "type", "'Warpp'"],
    ]
    assert sum("layer 'w': unknown layer type 'Warpp'" in line for line in out) == 2


def test_a_folder_without_any(tmp_path, capsys):
    assert main(["inspect", "--preflight", str(tmp_path)]) == 1
    assert "no prototxt in it" in capsys.readouterr().err


def test_several_files_need_preflight(tmp_path, capsys):
    assert main(["inspect", "a.prototxt", "b.prototxt"]) == 1
    assert "go with --preflight only" in capsys.readouterr().err


def test_no_memory_and_no_compiler_for_large_nets(tmp_path, monkeypatch, capsys):
    """Blobs of 7 GB are checked without memory, and without torch's compiler, which takes seconds to import."""
    path = tmp_path / "net.prototxt"
    text = INPUT
    for kind in ("gaussian", "msra", "xavier", "bilinear", "uniform", "positive_unitball"):
        text += (
            f'layer {{ name: "{kind}" type: "Deconvolution" bottom: "data" top: "{kind}" convolution_param {{ '
            f'num_output: 7000 kernel_size: 300 weight_filler {{ type: "{kind}" }} bias_term: false }} }}\n'
        )
    text += 'layer { name: "b" type: "DummyData" top: "b" dummy_data_param { shape { dim: 40000 dim: 50000 } } }'
    path.write_text(text)
    for name in [name for name in sys.modules if name.startswith("torch._dynamo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # importing it raises
    assert main(["inspect", "--preflight", str(path)]) == 0
    assert "no problems (8 layers in TRAIN and TEST)" in capsys.readouterr().out
