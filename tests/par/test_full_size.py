"""The paper's full network (width 64, 256 x 128, 51 attributes, 20 classes, batch 8) builds, trains and converts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.net import Net
from caffe_port.par.network import generate
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.load import read_net
from caffe_port.solver import Solver

BATCH, SIZE, ATTRIBUTES, CLASSES = 8, (256, 128), 51, 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    (folder / "rates.txt").write_text("".join(f"a{i},0.3\n" for i in range(ATTRIBUTES)))
    made = generate("rap", attributes=ATTRIBUTES, rates=str(folder / "rates.txt"), folder=str(folder))
    for name, definition in made.items():
        (folder / name).write_text(definition)
    return folder


def fed_by_hand(definition: Path) -> object:
    """The training net with Input layers in the place of its databases."""
    param = read_net(definition)
    shapes = {"data": (BATCH, 3, *SIZE), "attr": (BATCH, ATTRIBUTES, 1, 1), "seg": (BATCH, 1, *SIZE)}
    kept = [layer for layer in param.layer if layer.type != "Data"]
    del param.layer[:]
    for name, shape in shapes.items():
        param.layer.add(name=name, type="Input", top=[name]).input_param.shape.add().dim.extend(shape)
    param.layer.extend(kept)
    return param


def test_builds_trains_and_converts(files: Path) -> None:
    from converters import convert
    from converters.validate import validate

    param = text.read(files / "solver_joint.prototxt", caffe_pb2.SolverParameter).message
    param.ClearField("net")
    for field in ("test_iter", "test_state", "test_interval", "snapshot"):
        param.ClearField(field)
    param.net_param.CopyFrom(fed_by_hand(files / "train_val.prototxt"))
    param.snapshot_prefix = str(files / "full")
    solver = Solver(param, log_nets=False)
    assert solver.net.parameter_count() == 14_551_800
    rng = np.random.default_rng(0)
    feed = {
        "data": rng.normal(0, 50, (BATCH, 3, *SIZE)),
        "attr": rng.random((BATCH, ATTRIBUTES, 1, 1)) < 0.3,
        "seg": rng.integers(0, CLASSES, (BATCH, 1, *SIZE)),
    }
    for name, values in feed.items():
        solver.net.blobs[name].data.copy_(torch.from_numpy(np.asarray(values, np.float32)))
    before = solver.net.layer("res4f_seg_branch2c").weight.clone()
    solver.step(2)
    assert all(np.isfinite(float(v)) for v in solver.outputs.values())
    assert not torch.equal(before, solver.net.layer("res4f_seg_branch2c").weight)
    weights, _ = solver.snapshot()
    deploy = files / "deploy.prototxt"
    assert Net(read_net(deploy)).macs() == 3_746_161_024
    convert(weights, files / "full.onnx", model=deploy)
    result = validate(deploy, weights, against=["islands", "onnxruntime"])
    assert result.ok and len(result.of("onnxruntime")) > 300
    assert max(row.difference.relative for row in result.of("onnxruntime")) < 1e-4
