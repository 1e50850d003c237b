"""`convert` and `validate` as commands; what they do is tested with the converters."""

from __future__ import annotations

import pytest

from caffe_port.cli.main import main
from caffe_port.net import Net
from caffe_port.proto.load import read_net

NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 10 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    Net(read_net("net.prototxt")).save("net.caffemodel")


def test_convert(tmp_path, capsys):
    assert main(["convert", "net.caffemodel", "net.pt", "--model=net.prototxt"]) == 0
    assert "net.caffemodel -> net.pt" in capsys.readouterr().out and (tmp_path / "net.pt").exists()


def test_options_reach_the_format(tmp_path, capsys):
    command = ["convert", "net.caffemodel", "net.onnx", "--no-check", "--external-data", "--no-dynamic-batch"]
    assert main(command) == 0
    assert "not checked, as asked" in capsys.readouterr().out and (tmp_path / "net.onnx.data").exists()


def test_convert_folders(tmp_path, capsys):
    (tmp_path / "bad.caffemodel").write_bytes(b"<html>")
    assert main(["convert", ".", "out", "--to=.npz", "--jobs=1"]) == 1
    told = capsys.readouterr()
    assert "1 converted, 0 there already, 1 failed" in told.out and "[2/2]" in told.err
    assert (tmp_path / "out" / "net.npz").exists()
    assert main(["convert", ".", "out", "--model=net.prototxt"]) == 1
    assert main(["convert", "net.caffemodel", "net.pt", "--jobs=2"]) == 1


def test_convert_to_an_unknown_format(capsys):
    assert main(["convert", "net.caffemodel", "net.docx", "--model=net.prototxt"]) == 1
    assert capsys.readouterr().err.startswith("caffe-port: error: ")


def test_validate(tmp_path, capsys):
    command = ["validate", "net.prototxt", "net.caffemodel", "--against=islands", "--json=a.json", "--html=a.html"]
    assert main(command) == 0
    assert "islands" in capsys.readouterr().out and (tmp_path / "a.json").exists()
    assert "Error by depth" in (tmp_path / "a.html").read_text()


def test_validate_against_an_engine_that_is_not_there(capsys):
    assert main(["validate", "net.prototxt", "net.caffemodel", "--against=torch7"]) == 1
    assert "no engine is called torch7" in capsys.readouterr().err
