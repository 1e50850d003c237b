"""ONNX files: names, batch size, proof before anything is written, refusals that name the layer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import converters
from caffe_port.errors import ConvertError, UnsupportedError
from caffe_port.layers.power import Power
from converters import onnx_file
from converters.compare import difference
from converters.onnx_graph import GraphBuilder
from converters.onnx_model import export, run_onnx
from tests.converters import nets

NETS = {"classic": nets.CLASSIC, "residual": nets.RESIDUAL, "shared": nets.SHARED, "train_val": nets.TRAIN_VAL}
IN_PLACE_INPUT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
layer { name: "power" type: "Power" bottom: "x" top: "y" power_param { scale: 2 shift: 1 } }
"""
WIDE = """
layer { name: "wide" type: "InnerProduct" bottom: "logit" top: "wide"
  inner_product_param { num_output: 100 weight_filler { type: "xavier" } } }
"""
FIXED_BATCH = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "fold" type: "Reshape" bottom: "x" top: "folded" reshape_param { shape { dim: 2 dim: 3 dim: 2 } } }
layer { name: "relu" type: "ReLU" bottom: "folded" top: "y" }
"""


def dims(info) -> list:
    return [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]


@pytest.mark.parametrize("name", NETS)
def test_agrees_with_our_runtime_at_every_value_and_two_batch_sizes(name: str, tmp_path: Path) -> None:
    model = converters.hub.deployed(nets.model(NETS[name]) if name != "train_val" else _drawn(NETS[name]))
    report = converters.write(model, tmp_path / "x.onnx")
    assert "onnxruntime agrees" in report.check
    net = model.runtime()
    exported = export(net, expose=True)
    rng = np.random.default_rng(0)
    inputs = {n: rng.standard_normal(net.graph.values[n].shape, np.float32) for n in net.inputs}
    with torch.no_grad():
        ours = net.run({k: torch.from_numpy(v) for k, v in inputs.items()}, keep=True).values
    theirs = run_onnx(exported, inputs)
    for id, value in ours.items():
        if exported.names[id] in theirs:
            assert difference(value.numpy(), theirs[exported.names[id]]).relative < 1e-5, id
    bigger = {k: rng.standard_normal((5, *v.shape[1:]), np.float32) for k, v in inputs.items()}
    with torch.no_grad():
        ours = net(**{k: torch.from_numpy(v) for k, v in bigger.items()})
    for id, value in run_onnx(tmp_path / "x.onnx", bigger).items():
        assert difference(ours[id].numpy(), value).relative < 1e-5, id


def _drawn(prototxt: str) -> converters.Model:
    return converters.Model(nets.parse(prototxt), None)


def test_names_in_the_file(tmp_path: Path) -> None:
    model = nets.model(nets.RESIDUAL)
    converters.write(model, tmp_path / "x.onnx")
    file = onnx.load(str(tmp_path / "x.onnx"))
    assert [(i.name, dims(i)) for i in file.graph.input] == [("x", ["N", 3, 12, 10])]
    assert [(o.name, dims(o)) for o in file.graph.output] == [("logit", ["N", 7]), ("map", ["N", 8, 24, 20])]
    assert {i.name for i in file.graph.initializer} >= {"conv.weight", "side.bias", "logit.weight"}
    values = {v.name for v in file.graph.value_info}
    assert {"conv", "conv@0", "conv@1", "conv@2", "sum", "sum@0"} <= values and not any("split" in v for v in values)
    nodes = [n.name for n in file.graph.node]
    assert len(set(nodes)) == len(nodes) and {"conv", "bn", "relu", "cat"} <= set(nodes)
    assert {p.key: p.value for p in file.metadata_props} == {"prototxt": model.prototxt}
    assert (file.ir_version, file.opset_import[0].version, file.producer_name) == (8, 17, "caffe_port")


def test_shared_blobs_are_one_initializer() -> None:
    exported = export(nets.model(nets.SHARED).runtime())
    assert sorted(exported.initializers) == ["left.bias", "left.weight"]


def test_an_input_that_is_changed_in_place_keeps_its_name(tmp_path: Path) -> None:
    converters.write(nets.model(IN_PLACE_INPUT), tmp_path / "x.onnx")
    x = np.array([[1, -2, 3]], np.float32)
    assert run_onnx(tmp_path / "x.onnx", {"x": x})["y"].tolist() == [[3, 1, 7]]


def test_a_net_made_for_one_batch_size_keeps_it(tmp_path: Path) -> None:
    converters.write(nets.model(FIXED_BATCH), tmp_path / "x.onnx")
    file = onnx.load(str(tmp_path / "x.onnx"))
    assert dims(file.graph.input[0]) == [2, 6] and dims(file.graph.output[0]) == [2, 3, 2]
    with pytest.raises(ConvertError, match="another batch size"):
        converters.write(nets.model(FIXED_BATCH), tmp_path / "y.onnx", dynamic_batch=True)


SIZES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 33 dim: 29 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "msra" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "pool2" type: "Pooling" bottom: "pool1" top: "pool2" pooling_param { kernel_size: 2 stride: 1 pad: 1 } }
layer { name: "pool3" type: "Pooling" bottom: "pool2" top: "map"
  pooling_param { kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR } }
layer { name: "mean" type: "Pooling" bottom: "map" top: "mean" pooling_param { pool: AVE global_pooling: true } }
"""
AVE = 'layer { name: "a" type: "Pooling" bottom: "map" top: "a" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "map" top: "fc" inner_product_param { num_output: 2 } }'


def test_any_height_and_width(tmp_path: Path) -> None:
    model = nets.model(SIZES)
    converters.write(model, tmp_path / "x.onnx", dynamic_size=True)
    file = onnx.load(str(tmp_path / "x.onnx"))
    assert dims(file.graph.input[0]) == ["N", 3, "H", "W"]
    assert [dims(o) for o in file.graph.output] == [["N", 4, 1, 1]]
    net = model.runtime()
    for height, width in ((33, 29), (34, 31), (64, 48), (17, 90)):
        x = np.random.default_rng(height).standard_normal((1, 3, height, width), np.float32)
        with torch.no_grad():
            ours = net(x=torch.from_numpy(x))["mean"].numpy()
        assert difference(ours, run_onnx(tmp_path / "x.onnx", {"x": x})["mean"]).relative < 1e-5


@pytest.mark.parametrize(
    ("more", "why"), [(AVE, r"own height and width only: at .* layer 'a' \(Pooling\)|onnxruntime"), (FC, "'fc'")]
)
def test_a_net_that_does_not_work_at_every_size_is_refused(more: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=why):
        converters.write(nets.model(SIZES + more), tmp_path / "x.onnx", dynamic_size=True)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_size_written_into_the_graph_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer whose ONNX form holds the batch size: the shape rules allow others, onnxruntime then does not."""

    def onnx_form(self, graph, bottoms, tops) -> None:
        shape = graph.const(np.array(graph.shape(bottoms[0]), np.int64), "shape")
        graph.node("Add", [graph.node("Reshape", [bottoms[0], shape]), graph.const(np.float32(1))], tops)

    monkeypatch.setattr(Power, "onnx", onnx_form)
    text = IN_PLACE_INPUT.replace("scale: 2 ", "")
    report = converters.write(nets.model(text), tmp_path / "x.onnx")
    assert dims(onnx.load(str(tmp_path / "x.onnx")).graph.input[0]) == [2, 3]
    assert any("the batch size is fixed" in note for note in report.notes)


def test_a_mismatch_writes_nothing_and_names_the_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Power, "onnx", lambda self, graph, bottoms, tops: graph.node("Neg", bottoms, tops) and None)
    text = IN_PLACE_INPUT + 'layer { name: "later" type: "TanH" bottom: "y" top: "z" }'
    with pytest.raises(ConvertError, match=r"layer 'power' \(Power\) makes 'y' differently: .* instead of .* at \("):
        converters.write(nets.model(text), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def refuse(layer, graph, bottoms, tops) -> None:
    raise layer.unsupported("it has no ONNX form")


def test_a_layer_without_onnx_form_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Power, "onnx", refuse)
    with pytest.raises(UnsupportedError, match=r"layer 'power' \(Power\): it has no ONNX form"):
        converters.write(nets.model(IN_PLACE_INPUT), tmp_path / "x.onnx")


def test_a_net_of_inputs_alone_is_nothing_to_convert(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="no layer that makes an output"):
        converters.write(nets.model(IN_PLACE_INPUT.split('layer { name: "relu')[0]), tmp_path / "x.onnx")


def test_weights_outside_the_file(tmp_path: Path) -> None:
    """Shapes as constants stay inside, where shape inference finds them."""
    model = nets.model(nets.RESIDUAL + WIDE)
    report = converters.write(model, tmp_path / "x.onnx", external_data=True)
    assert [Path(f).name for f in report.files] == ["x.onnx", "x.onnx.data"]
    assert (tmp_path / "x.onnx.data").stat().st_size > 100 * 7 * 4
    inside = onnx.load(str(tmp_path / "x.onnx"))
    for initializer in inside.graph.initializer:
        array = onnx.numpy_helper.to_array(initializer)
        if initializer.name in model.named_blobs():
            assert np.array_equal(array, model.named_blobs()[initializer.name])


def test_what_is_too_big_for_one_message_goes_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "INLINE_LIMIT", 1000)
    report = converters.write(nets.model(nets.CLASSIC), tmp_path / "x.onnx")
    assert len(report.files) == 2


def test_large_weights_are_proven_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.onnx_model.LARGE", 0)
    report = converters.write(nets.model(nets.RESIDUAL + WIDE), tmp_path / "x.onnx")
    assert "agrees" in report.check and [f.name for f in tmp_path.iterdir()] == ["x.onnx"]
    monkeypatch.setattr(onnx_file, "_bytes", lambda array: bytes(array.nbytes))
    with pytest.raises(ConvertError, match="layer 'wide'"):
        converters.write(nets.model(nets.RESIDUAL + WIDE), tmp_path / "y.onnx", dynamic_batch=False)


def test_without_onnxruntime_nothing_is_called_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("converters.onnx_model.has", lambda module: False)
    with pytest.raises(ConvertError, match=r"package 'onnxruntime'.*pip install caffe-port\[onnxruntime\]"):
        converters.write(nets.model(nets.CLASSIC), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    report = converters.write(nets.model(nets.CLASSIC), tmp_path / "x.onnx", check=False)
    assert "not checked" in report.check and "any batch size, by the shape rules" in report.notes[0]


def test_streamed_files_are_what_protobuf_writes() -> None:
    exported = export(nets.model(nets.CLASSIC).runtime())
    streamed = onnx.load_from_string(exported.to_bytes())
    plain = onnx.ModelProto()
    plain.CopyFrom(exported.model)
    for name, array in exported.initializers.items():
        plain.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    assert streamed == plain


def test_builder_names_and_constants() -> None:
    builder = GraphBuilder({"x": (2, 3), "y": (2, 3)})
    one = builder.const(np.array([1, 2], np.int64), "shape")
    assert builder.const(np.array([1, 2], np.int64), "other") == one
    assert builder.const(np.array([1, 2], np.int32), "shape") != one
    assert builder.const(np.float64(2)) in builder.initializers
    assert builder.initializers[builder.const(np.float64(2))].dtype == np.float32
    assert len({builder.fresh("x"), builder.fresh("x"), builder.fresh("x")}) == 3
    outputs = builder.node("Split", ["x"], 3, axis=1)
    assert len(set(outputs)) == 3 and builder.node("Relu", ["x"], ["y"]) == "y"
    assert [n.name for n in builder.nodes] == ["net", "net/Relu"] and builder.shape("x") == (2, 3)
