"""Normalisations joined into the layers before them: the same outputs, fewer layers, only where that is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import converters
from converters.fold import folded
from tests.converters import nets

X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 5 dim: 7 } } }'
BN = 'layer { name: "bn" type: "BatchNorm" bottom: "y" top: "y" }'
SCALE = """layer { name: "scale" type: "Scale" bottom: "y" top: "z"
  scale_param { bias_term: true filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "uniform" } } }"""
CONV = """layer { name: "a" type: "%s" bottom: "x" top: "y" convolution_param { num_output: 6 kernel_size: 3 %s
  weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }"""
FC = """layer { name: "a" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 6 %s
  weight_filler { type: "xavier" } } }"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "z" top: "z" }'
OTHER = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "r" }'

CASES = {
    "convolution": (X + CONV % ("Convolution", "group: 2") + BN + SCALE + RELU, ["x", "a", "relu"]),
    "eps_behind_the_root": (
        X + CONV % ("Convolution", "") + BN.replace("}", "batch_norm_param { eps: 0.1 add_eps_before_sqrt: false } }"),
        ["x", "a"],
    ),
    "without_bias": (X + CONV % ("Convolution", "bias_term: false") + BN, ["x", "a"]),
    "deconvolution": (X + CONV % ("Deconvolution", "group: 2 stride: 2") + BN + SCALE, ["x", "a"]),
    "inner_product": (X + FC % "" + BN + SCALE, ["x", "a"]),
    "transposed": (X + FC % "transpose: true bias_term: false" + SCALE, ["x", "a"]),
    "behind_a_pooling": (
        X + 'layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 } }' + BN + SCALE,
        ["x", "p", "bn"],
    ),
    "two_readers": (
        X + CONV % ("Convolution", "") + BN.replace('top: "y"', 'top: "n"') + OTHER,
        ["x", "a", "bn", "relu"],
    ),
    "of_a_batch": (
        X + CONV % ("Convolution", "") + BN.replace(" }", " batch_norm_param { use_global_stats: false } }"),
        ["x", "a", "bn"],
    ),
    "another_axis": (X + CONV % ("Convolution", "") + SCALE.replace("{ bias", "{ axis: 2 bias"), ["x", "a", "scale"]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_outputs_of_fewer_layers(name: str) -> None:
    prototxt, wanted = CASES[name]
    model = nets.model(prototxt)
    joined = folded(model)
    assert [layer.name for layer in joined.net.layer] == wanted
    x = torch.randn(2, 4, 5, 7)
    with torch.no_grad():
        ours, theirs = model.runtime()(x=x), joined.runtime()(x=x)
    assert list(ours) == list(theirs)
    for blob, value in ours.items():
        torch.testing.assert_close(theirs[blob], value, rtol=0, atol=1e-5 * float(value.abs().max()))


def test_a_shared_weight_stays() -> None:
    text = nets.SHARED + SCALE.replace('"y"', '"left"')
    assert folded(nets.model(text)).net == nets.parse(text)


def test_by_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nets.model(nets.RESIDUAL)
    converters.write(model, tmp_path / "plain.onnx")
    report = converters.write(model, tmp_path / "x.onnx", fuse=True)
    assert "2 normalisations were joined into 1 layers" in "".join(report.notes)
    ops = [[node.op_type for node in onnx.load(str(tmp_path / f)).graph.node] for f in ("plain.onnx", "x.onnx")]
    assert "BatchNormalization" in ops[0] and "BatchNormalization" not in ops[1] and len(ops[1]) < len(ops[0])
    monkeypatch.setattr("converters.fold._one", lambda affine: (affine[0][0], affine[0][1] + np.float64(1)))
    with pytest.raises(converters.hub.ConvertError, match="normalisations joined, output '.*' differs"):
        converters.write(model, tmp_path / "y.onnx", fuse=True)
    assert not (tmp_path / "y.onnx").exists()
