"""`inspect`: the table and its totals; `--preflight`: all problems of a file at once, with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_port.cli.main import main

GOLDEN = Path(__file__).parents[1] / "golden"

GOOD = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 10 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 5 } }
"""

BAD = """name: "bad"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 10 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernal_size: 3 } }
layer { name: "warp" type: "Warpp" bottom: "data" top: "warp" }
layer { name: "after" type: "ReLU" bottom: "warp" top: "after" }
layer { name: "lost" type: "ReLU" bottom: "nobody" top: "lost" }
layer { name: "two" type: "ReLU" bottom: "data" bottom: "data" top: "two" }
layer { name: "crop" type: "Crop" bottom: "data" bottom: "data" top: "crop" crop_param { offset: 5 } }
layer { name: "fine" type: "ReLU" bottom: "data" top: "fine" }
"""


def run(tmp_path, text, *more):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return main(["inspect", str(path), *more])


def test_table(tmp_path, capsys):
    assert run(tmp_path, GOOD) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "small, phase TEST"
    assert [line.split() for line in out[3:7]] == [
        ["data", "Input", "2x3x8x10"],
        ["conv", "Convolution", "2x4x6x8", "112", "10,368"],
        ["relu", "ReLU", "2x4x6x8"],
        ["ip", "InnerProduct", "2x5", "965", "1,920"],
    ]
    assert out[7].startswith("4 layers, 1,077 parameters, 12,288 multiply-adds, ")
    assert out[8] == "inputs: data; outputs: ip"


def test_input_gives_another_shape(tmp_path, capsys):
    assert run(tmp_path, GOOD, "--input", "data:1,3,8,10") == 0
    assert "1x4x6x8" in capsys.readouterr().out


def test_an_input_that_nobody_has(tmp_path, capsys):
    assert run(tmp_path, GOOD, "--input", "image:1,3,8,10") == 1
    assert "no input is called 'image'; the net's are data" in capsys.readouterr().err


def test_preflight_of_a_good_net(tmp_path, capsys):
    assert run(tmp_path, GOOD, "--preflight") == 0
    assert capsys.readouterr().out == f"{tmp_path}/net.prototxt: no problems (4 layers in TRAIN and TEST)\n"


def test_preflight_lists_everything_with_its_line(tmp_path, capsys):
    assert run(tmp_path, BAD, "--preflight") == 1
    out = [line.removeprefix(f"{tmp_path}/net.prototxt:") for line in capsys.readouterr().out.splitlines()]
    # line of the file, something of the message
    expected = [
        (4, "kernal_size"), (5, "unknown layer type 'Warpp'"), (7, "unknown bottom blob 'nobody'"),
        (8, "takes 1 bottom"), (9, "layer 'crop' (Crop)"),
    ]  # fmt: skip
    for line, message in expected:
        assert any(o.startswith(f"{line}: ") and message in o for o in out), (line, message, out)
    assert out[-1].endswith("for want of a shape)") and not any("'fine'" in o or "'after'" in o for o in out)


# text, line, something of the message
BROKEN = [
    ('layer { name: "a" ', 1, ""),
    ("", 1, "empty"),
    ("name: 5", 1, ""),
    ('layer { name: "a" type: "ReLU" }\nlayers { name: "b" type: RELU }', None, ""),
    (
        'layer { name: "a" type: "ReLU" bottom: "x" top: "y" include { phase: TEST } exclude { phase: TRAIN } }',
        1,
        "not both",
    ),
    ('\nlayer { name: "a" type: "Input" top: "x" }\nlayer { name: "b" type: "Input" top: "x" }', 3, "'x'"),
]


@pytest.mark.parametrize("text, line, message", BROKEN)
def test_preflight_of_a_broken_file_is_a_report(text, line, message, tmp_path, capsys):
    assert run(tmp_path, text, "--preflight") == 1
    said = capsys.readouterr()
    first = said.out.splitlines()[0]
    assert not said.err and message in first
    assert line is None or first.startswith(f"{tmp_path}/net.prototxt:{line}: ")


DATA = """name: "train"
layer { name: "data" type: "Data" top: "data" top: "label"
        transform_param { crop_size: 12 mean_value: 1 mean_value: 2 mean_value: 3 }
        data_param { source: "not_here_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_data_that_is_not_here_is_a_note(tmp_path, capsys):
    assert run(tmp_path, DATA, "--preflight") == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and ":2: note: layer 'data' (Data)" in out[0] and "not_here_lmdb" in out[0]
    assert out[1].endswith("no problems (3 layers in TRAIN and TEST)")


def test_the_shapes_of_pictures_with_boxes_are_in_the_definition(tmp_path, capsys):
    """The size from resize_param, the labels as of one box, or MobileNet-YOLO's 300 a picture."""
    ssd = """layer { name: "data" type: "AnnotatedData" top: "data" top: "label"
        transform_param { force_color: true resize_param { height: 9 width: 7 } }
        data_param { source: "not_here_lmdb" batch_size: 4 backend: LMDB } annotated_data_param { } }
      layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }
      layer { name: "of_boxes" type: "Flatten" bottom: "label" top: "boxes" }
      layer { name: "silent" type: "Silence" bottom: "ip" bottom: "boxes" }"""
    for source in (ssd, ssd.replace("annotated_data_param { }", "annotated_data_param { yolo_data_type: 1 }")):
        assert run(tmp_path, source, "--preflight") == 0
        out = capsys.readouterr().out.splitlines()
        assert len(out) == 2 and ":1: note: layer 'data' (AnnotatedData)" in out[0]
        assert out[1].endswith("no problems (4 layers in TRAIN and TEST)")


def test_data_of_unknown_shape_is_noted_and_can_be_given(tmp_path, capsys):
    unknown = DATA.replace("crop_size: 12", "")
    assert run(tmp_path, unknown, "--preflight") == 0
    assert "give it with --input data:1,3,224,224" in capsys.readouterr().out
    assert run(tmp_path, unknown, "--preflight", "--input", "data:7,3,12,12") == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1 and out[0].endswith("no problems (3 layers in TRAIN and TEST)")
    assert run(tmp_path, unknown, "--input", "data:7,3,12,12") == 0
    assert "7x5" in capsys.readouterr().out


def test_inspect_without_the_data_says_how(tmp_path, capsys):
    assert run(tmp_path, DATA) == 1
    assert "--input data:1,3,224,224" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((GOLDEN / "upgrade" / "in").iterdir()), ids=lambda p: p.name)
def test_preflight_of_old_formats_never_raises(path, capsys):
    assert main(["inspect", str(path), "--preflight"]) in (0, 1)
    assert not capsys.readouterr().err
