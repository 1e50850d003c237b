"""Standalone modules: they need nothing of ours, agree with our runtime, and are harmless whatever the names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import converters
from caffe_port.errors import ConvertError, UnsupportedError
from caffe_port.layers.tanh import TanH
from converters.torch_source import source
from converters.validate import format_table, validate
from tests.converters import nets

MANY = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 dim: 7 dim: 5 } } }
layer { name: "slice" type: "Slice" bottom: "x" top: "one" top: "two" slice_param { slice_point: 2 } }
layer { name: "mvn" type: "MVN" bottom: "two" top: "mvn" }
layer { name: "pad" type: "Pooling" bottom: "one" top: "pad" pooling_param { kernel_size: 3 pad: 2 stride: 2 } }
layer { name: "ave" type: "Pooling" bottom: "two" top: "ave"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "within" type: "LRN" bottom: "mvn" top: "within" lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 } }
layer { name: "elu" type: "ELU" bottom: "within" top: "within" elu_param { alpha: 0.5 } }
layer { name: "power" type: "Power" bottom: "one" top: "power" power_param { power: 2 scale: 0.3 shift: 3 } }
layer { name: "bias" type: "Bias" bottom: "power" top: "power" bias_param { filler { type: "uniform" } } }
layer { name: "reduce" type: "Reduction" bottom: "ave" top: "reduce" reduction_param { operation: SUMSQ axis: 2 } }
layer { name: "reshape" type: "Reshape" bottom: "pad" top: "rows" reshape_param { shape { dim: 0 dim: -1 dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "rows" top: "ip"
  inner_product_param { num_output: 3 axis: 2 transpose: true weight_filler { type: "xavier" } } }
layer { name: "argmax" type: "ArgMax" bottom: "reduce" top: "argmax" }
layer { name: "batchbn" type: "BatchNorm" bottom: "ip" top: "batchbn" batch_norm_param { use_global_stats: false } }
layer { name: "tile" type: "Tile" bottom: "batchbn" top: "tile" tile_param { tiles: 3 axis: 1 } }
layer { name: "max" type: "Eltwise" bottom: "one" bottom: "power" top: "max" eltwise_param { operation: MAX } }
layer { name: "crop" type: "Crop" bottom: "max" bottom: "ave" top: "crop" crop_param { axis: 2 offset: 1 } }
"""
NAMES = """
layer { name: "in" type: "Input" top: "import" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a\\"\\"\\"\\nimport os" type: "InnerProduct" bottom: "import" top: "1/x'; raise"
  inner_product_param { num_output: 4 } }
layer { name: "forward" type: "InnerProduct" bottom: "1/x'; raise" top: "self" inner_product_param { num_output: 4 } }
layer { name: "a.b" type: "Bias" bottom: "self" top: "a.b" }
layer { name: "a_b" type: "Bias" bottom: "a.b" top: "a_b" }
"""


@pytest.mark.parametrize("prototxt", [nets.CLASSIC, nets.RESIDUAL, nets.SHARED, MANY])
def test_agrees_at_every_blob(prototxt: str) -> None:
    result = validate(nets.model(prototxt), against=["standalone"])
    assert result.ok, format_table(result)
    assert len(result.rows) >= 3


def test_runs_where_nothing_of_ours_is(tmp_path: Path) -> None:
    model = nets.model(nets.RESIDUAL)
    report = converters.write(model, tmp_path / "residual.py")
    assert [Path(f).name for f in report.files] == ["residual.py", "residual.pt"]
    x = torch.randn(3, 3, 12, 10)
    torch.save(x, tmp_path / "x.tensor")
    code = (
        "import sys, torch; sys.modules['caffe_port'] = sys.modules['converters'] = None\n"
        "from residual import load\n"
        "torch.save({k: v.detach() for k, v in load()(x=torch.load('x.tensor')).items()}, 'y.tensor')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PYTHONPATH": str(tmp_path)})
    outputs, ours = torch.load(tmp_path / "y.tensor"), model.runtime()(x=x)
    assert sorted(outputs) == ["logit", "map"]
    for name, value in outputs.items():
        np.testing.assert_allclose(value.numpy(), ours[name].detach().numpy(), atol=1e-6)


def test_weights_go_under_the_names_that_torch_users_know() -> None:
    _, state = source(nets.model(nets.RESIDUAL).runtime(), "w.pt")
    assert {"conv.weight", "bn.running_mean", "bn.running_var", "scale.weight", "prelu.weight"} <= set(state)


def test_names_cannot_break_out_of_the_text(tmp_path: Path) -> None:
    model = nets.model(NAMES)
    converters.write(model, tmp_path / "x.py")
    text = (tmp_path / "x.py").read_text()
    assert "\nimport os" not in text and "raise" not in text.replace("1_x___raise", "")
    assert validate(model, against=["standalone"]).ok


def test_a_layer_without_plain_form_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TanH, "onnx", lambda self, graph, bottoms, tops: graph.node("Einsum", bottoms, tops))
    text = f'{MANY} layer {{ name: "odd" type: "TanH" bottom: "one" top: "odd" }}'
    with pytest.raises(UnsupportedError, match=r"layer 'odd' \(TanH\): has no plain PyTorch form.*Einsum"):
        converters.write(nets.model(text), tmp_path / "x.py")
    assert list(tmp_path.iterdir()) == []


def test_the_weights_beside_it_replace_no_other_file(tmp_path: Path) -> None:
    converters.write(nets.model(nets.CLASSIC), tmp_path / "net.pt")
    before = (tmp_path / "net.pt").read_bytes()
    with pytest.raises(ConvertError, match=r"net.py goes with .*net.pt, which is there and holds something else"):
        converters.convert(tmp_path / "net.pt", tmp_path / "net.py")
    assert (tmp_path / "net.pt").read_bytes() == before
    converters.convert(tmp_path / "net.pt", tmp_path / "other.py")
    converters.write(nets.model(nets.CLASSIC, seed=2), tmp_path / "other.py")
