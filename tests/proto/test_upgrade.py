"""Old formats become today's exactly as Caffe's own upgrade tools make them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caffe_port import log
from caffe_port.errors import NetError, PrototxtError, SolverError
from caffe_port.proto import caffe_pb2, load, text
from caffe_port.proto.upgrade import needs_upgrade, upgrade_net, upgrade_solver

GOLDEN = Path(__file__).parents[1] / "golden" / "upgrade"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.redirect(stream)
    yield stream
    log.redirect(None)


def net(given: str) -> Any:
    return text.parse(given, caffe_pb2.NetParameter).message


@pytest.mark.parametrize("path", sorted((GOLDEN / "in").glob("*.prototxt")), ids=lambda p: p.stem)
def test_golden_files(path: Path) -> None:
    """The text of our result is Caffe's file to the byte; the given message stays; a second upgrade changes nothing."""
    wanted = (GOLDEN / "out" / path.name).read_text()
    if "solver" in path.name:
        given = text.read(path, caffe_pb2.SolverParameter).message
        before, upgraded = given.SerializeToString(), upgrade_solver(given)
        assert upgrade_solver(upgraded) == upgraded
    else:
        given = text.read(path, caffe_pb2.NetParameter).message
        before, upgraded = given.SerializeToString(), upgrade_net(given)
        assert needs_upgrade(given) and upgrade_net(upgraded) == upgraded
        batch_norm = any(layer.type == "BatchNorm" for layer in upgraded.layer)
        assert needs_upgrade(upgraded) == batch_norm  # Caffe asks for three `param`, not for what is in them
    assert text.format(upgraded) == wanted and given.SerializeToString() == before


V0 = 'layers { layer { name: "d" type: "data" } top: "x" top: "y" } '
UPGRADES = {  # old -> new
    "input: 'a' input_dim: 1 input_dim: 3 input_dim: 5 input_dim: 7 input: 'b' input_dim: [2, 1, 1, 4] "
    "layer { name: 'r' }":
        "layer { name: 'input' type: 'Input' top: 'a' top: 'b' input_param { shape { dim: [1, 3, 5, 7] } "
        "shape { dim: [2, 1, 1, 4] } } } layer { name: 'r' }",
    "input: 'a' layer { name: 'r' }": "layer { name: 'r' }",  # in a .caffemodel
    "layer { type: 'BatchNorm' param { lr_mult: 3 name: 'm' } param { } param { } }":
        "layer { type: 'BatchNorm' param { lr_mult: 0 decay_mult: 0 name: 'm' } param { lr_mult: 0 decay_mult: 0 } "
        "param { lr_mult: 0 decay_mult: 0 } }",
    "layer { type: 'BatchNorm' param { lr_mult: 3 } param { } }":
        "layer { type: 'BatchNorm' param { lr_mult: 3 } param { } }",
    "layers { type: WINDOW_DATA window_data_param { scale: 2 mean_file: 'm' crop_size: 3 mirror: false source: 's' } }":
        "layer { type: 'WindowData' transform_param { scale: 2 mean_file: 'm' crop_size: 3 mirror: false } "
        "window_data_param { source: 's' } }",
    "layers { type: HDF5_DATA name: 'h' weight_decay: [0, 1] param: 'w' }":
        "layer { type: 'HDF5Data' name: 'h' param { name: 'w' decay_mult: 0 } param { decay_mult: 1 } }",
    "layers { name: 'n' }": "layer { name: 'n' }",
    "layers { type: RELU blobs { num: 1 data: 3 } include { phase: TEST } exclude { max_level: 2 } }":
        "layer { type: 'ReLU' blobs { num: 1 data: 3 } include { phase: TEST } exclude { max_level: 2 } }",
    V0 + 'layers { layer { name: "p" type: "padding" pad: 3 } bottom: "x" top: "q" } '
    'layers { layer { name: "m" type: "pool" pool: STOCHASTIC kernelsize: 2 stride: 1 blobs_lr: 1 } '
    'bottom: "q" top: "m" }':
        'layer { name: "d" type: "Data" top: "x" top: "y" } layer { name: "m" type: "Pooling" bottom: "x" top: "m" '
        "param { lr_mult: 1 } pooling_param { pool: STOCHASTIC pad: 3 kernel_size: 2 stride: 1 } }",
    V0 + 'layers { layer { name: "o" type: "hdf5_output" hdf5_output_param { file_name: "f" } } bottom: "x" }':
        'layer { name: "d" type: "Data" top: "x" top: "y" } layer { name: "o" type: "HDF5Output" bottom: "x" '
        'hdf5_output_param { file_name: "f" } }',
}  # fmt: skip


@pytest.mark.parametrize("old", UPGRADES, ids=lambda old: old[:50])
def test_upgrades(old: str) -> None:
    assert text.format(upgrade_net(net(old))) == text.format(net(UPGRADES[old]))


def test_every_old_type_has_a_new_name() -> None:
    for name, number in caffe_pb2.V1LayerParameter.LayerType.items():
        upgraded = upgrade_net(caffe_pb2.NetParameter(layers=[caffe_pb2.V1LayerParameter(type=number)]))
        assert upgraded.layer[0].type.lower() == {
            "NONE": "", "SOFTMAX_LOSS": "softmaxwithloss",
        }.get(name, name.replace("_", "").lower())  # fmt: skip


REFUSED = {
    "layers { name: 'a' } layers { layer { name: 'b' } } layer { name: 'c' }": "`layers` for a, b and `layer` for c",
    "input: 'a' input: 'b' input_shape { dim: 1 }": "2 inputs (a, b) but 1 input_shape",
    "input: 'a' input_dim: 3": "1 inputs (a) but 1 input_dim; give four for each",
    "layers { layer { name: 'a' type: 'covn' } }": "layer 'a': unknown layer type 'covn' of format V0",
    "layers { layer { name: 'a' type: 'conv' } bottom: 'x' }": "layer 'a': unknown bottom blob 'x'",
    V0 + "layers { layer { name: 'p' type: 'padding' } bottom: 'x' top: 'q' } "
    "layers { layer { name: 'r' type: 'relu' } bottom: 'q' }": "layer 'r' (relu) reads the padding layer 'p'",
    V0 + "layers { layer { name: 'p' type: 'padding' } bottom: 'x' bottom: 'y' top: 'q' } "
    "layers { layer { name: 'c' type: 'conv' } bottom: 'q' }": "must take one blob and give one",
}


@pytest.mark.parametrize("old", REFUSED, ids=lambda old: REFUSED[old][:40])
def test_what_no_old_format_can_have_meant(old: str) -> None:
    with pytest.raises(NetError) as e:
        upgrade_net(net(old))
    assert REFUSED[old] in str(e.value)


def test_an_option_of_another_type_is_logged_and_left_out(said: io.StringIO) -> None:
    upgraded = upgrade_net(net('layers { layer { name: "r" type: "relu" num_output: 3 local_size: 5 } }'))
    assert text.format(upgraded) == 'layer {\n  name: "r"\n  type: "ReLU"\n}\n'
    assert [line.split("] ")[1] for line in said.getvalue().splitlines()] == [
        "Unknown parameter num_output for layer type relu",
        "Unknown parameter local_size for layer type relu",
    ]


def test_solver_types() -> None:
    for old, new in zip(
        ("SGD", "NESTEROV", "ADAGRAD", "RMSPROP", "ADADELTA", "ADAM"),
        ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"),
        strict=True,
    ):
        param = text.parse(f"solver_type: {old}", caffe_pb2.SolverParameter).message
        assert text.format(upgrade_solver(param)) == f'type: "{new}"\n'
    both = text.parse('solver_type: ADAM type: "Adam"', caffe_pb2.SolverParameter).message
    with pytest.raises(SolverError, match="cannot both be given"):
        upgrade_solver(both)


def test_reading_a_net_logs_what_was_done(tmp_path: Path, said: io.StringIO) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("layers { type: DATA data_param { scale: 2 } quantization_param { a: 1 } name: 'd' }")
    param = load.read_net(path)
    assert param.layer[0].type == "Data" and param.layer[0].transform_param.scale == 2
    lines = [line.split("] ", 1)[1] for line in said.getvalue().splitlines()]
    assert lines == [
        f"{path}:1:45: layer 'd': unknown field 'quantization_param' in V1LayerParameter; "
        "not a field of Caffe's layers; kept by name, the layer runs without it",
        f"Attempting to upgrade input file specified using deprecated transformation parameters: {path}",
        "Successfully upgraded file specified using deprecated data transformation parameters.",
        "Note that future Caffe releases will only support transform_param messages for transformation fields.",
        f"Attempting to upgrade input file specified using deprecated V1LayerParameter: {path}",
        "Successfully upgraded file specified using deprecated V1LayerParameter",
    ]
    path.write_text("layer { botom: 'x' }")
    with pytest.raises(PrototxtError, match="net.prototxt:1:9"):
        load.read_net(path)


def test_reading_a_solver_fills_the_prefix_in(tmp_path: Path, said: io.StringIO) -> None:
    path = tmp_path / "my_solver.prototxt"
    for given, prefix in [
        ("", str(tmp_path / "my_solver")),
        (f"snapshot_prefix: '{tmp_path}'", str(tmp_path / "my_solver")),
        ("snapshot_prefix: 'snap/x'", "snap/x"),
    ]:
        path.write_text(f"net: 'n' solver_type: ADAM {given}")
        param = load.read_solver(path)
        assert param.snapshot_prefix == prefix and param.type == "Adam" and not param.HasField("solver_type")
    path.write_text("net_param { layers { type: RELU } } test_net_param { input: 'a' }")
    param = load.read_solver(path)
    assert param.net_param.layer[0].type == "ReLU" and not param.test_net_param[0].input
    assert "snapshot_prefix was not specified and is set to" in said.getvalue()
