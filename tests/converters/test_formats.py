"""Round trips are laws: what one format holds, every other one gives back bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import converters
from caffe_port.errors import CaffeError, ConvertError, WeightsError
from caffe_port.net import Net
from caffe_port.proto import binary, caffe_pb2, text, wire
from converters.hub import format_of
from tests.converters import nets

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = ("x.caffemodel", "x.pt", "x.pth", "x.safetensors", "x.npz", "x.caffemodel.h5")
V0 = """
name: "v0" input: "data" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "c1" type: "conv" num_output: 4 kernelsize: 3 stride: 2 weight_filler { type: "xavier" } }
  bottom: "pad" top: "c1" }
layers { layer { name: "r1" type: "relu" } bottom: "c1" top: "c1" }
layers { layer { name: "ip" type: "innerproduct" num_output: 5 weight_filler { type: "xavier" } }
  bottom: "c1" top: "ip" }
layers { layer { name: "prob" type: "softmax" } bottom: "ip" top: "prob" }
"""
NETS = {"classic": nets.CLASSIC, "residual": nets.RESIDUAL, "shared": nets.SHARED}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return list(a) == list(b) and all(a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a)


def bits(model: converters.Model) -> list:
    return [(layer.name, [blob.tobytes() for blob in layer.blobs]) for layer in model.layer_blobs()]


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("net", NETS)
def test_through_a_format_and_back(net: str, target: str, tmp_path: Path) -> None:
    model = nets.model(NETS[net])
    report = converters.write(model, tmp_path / target)
    assert "bit for bit" in report.check
    again = converters.read(tmp_path / target)
    assert again.net == model.net and same(again.named_blobs(), model.named_blobs())
    converters.convert(tmp_path / target, tmp_path / "back.caffemodel")
    assert bits(converters.read(tmp_path / "back.caffemodel")) == bits(model)


@st.composite
def prototxts(draw) -> str:
    """A chain with branches: layers that have blobs of every number, in-place ones, odd names."""
    lines = ['layer { name: "in" type: "Input" top: "b0" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 4 } } }']
    kinds = {
        "Convolution": "convolution_param { num_output: 2 kernel_size: 1 bias_term: %s weight_filler { type: 'msra' }}",
        "BatchNorm": "",
        "Scale": "scale_param { bias_term: %s filler { type: 'gaussian' } }",
        "PReLU": "",
        "ReLU": "",
        "Bias": f"bias_param {{ num_axes: {draw(st.sampled_from([0, 1, 2]))} filler {{ type: 'uniform' }} }}",
    }
    top = "b0"
    for i, kind in enumerate(draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=7))):
        name = draw(st.sampled_from(["conv", "a.b", "a/b", "type", "x y", "weight", "ü"])) + str(i)
        options = kinds[kind].replace("%s", draw(st.sampled_from(["true", "false"])))
        out = top if draw(st.booleans()) and kind not in ("Convolution",) and i else f"b{i + 1}"
        lines.append(f'layer {{ name: "{name}" type: "{kind}" bottom: "{top}" top: "{out}" {options} }}')
        top = out
    return "\n".join(lines)


@settings(max_examples=25, deadline=None)
@given(prototxts(), st.integers(0, 99), st.sampled_from(FORMATS[1:]))
def test_random_graphs_there_and_back(tmp_path_factory, prototxt: str, seed: int, target: str) -> None:
    folder = tmp_path_factory.mktemp("law")
    model = nets.model(prototxt, seed)
    converters.write(model, folder / "a.caffemodel")
    converters.convert(folder / "a.caffemodel", folder / target)
    converters.convert(folder / target, folder / "b.caffemodel")
    assert (folder / "a.caffemodel").read_bytes() == (folder / "b.caffemodel").read_bytes()


def half(blob: np.ndarray) -> bytes:
    """A BlobProto as NVCaffe writes it: shape, raw_data_type 2 (half), raw_data."""
    dims = b"".join(wire.encode_varint(d) for d in blob.shape)
    shape = wire.tag(1, wire.LENGTH) + wire.encode_varint(len(dims)) + dims
    raw = blob.astype("<f2").tobytes()
    out = wire.tag(7, wire.LENGTH) + wire.encode_varint(len(shape)) + shape + wire.tag(10, wire.VARINT) + b"\x02"
    return out + wire.tag(12, wire.LENGTH) + wire.encode_varint(len(raw)) + raw


@pytest.mark.parametrize("target", FORMATS[1:])
def test_half_precision_of_nvcaffe(target: str, tmp_path: Path) -> None:
    model, net = nets.model(nets.SHARED), b""
    given = {layer.name: layer.blobs for layer in model.layer_blobs()}
    for layer in model.net.layer:
        inner = layer.SerializeToString()
        for blob in given.get(layer.name, []):
            inner += wire.tag(7, wire.LENGTH) + wire.encode_varint(len(half(blob))) + half(blob)
        net += wire.tag(100, wire.LENGTH) + wire.encode_varint(len(inner)) + inner
    (tmp_path / "nv.caffemodel").write_bytes(net)
    converters.convert(tmp_path / "nv.caffemodel", tmp_path / target)
    for key, blob in converters.read(tmp_path / target).named_blobs().items():
        assert np.array_equal(blob, model.named_blobs()[key].astype(np.float16).astype(np.float32)), key


def test_a_net_of_the_oldest_format(tmp_path: Path) -> None:
    """V0, with a padding layer of its own: the net and the blobs come out in today's form."""
    (tmp_path / "v0.prototxt").write_text(V0)
    wanted = converters.read(tmp_path / "v0.prototxt")
    blobs = {layer.name: layer.blobs for layer in wanted.layer_blobs()}
    net = text.parse(V0, caffe_pb2.NetParameter).message
    for entry in net.layers:
        for blob in blobs.get(entry.layer.name, []):
            shape = (1,) * (4 - blob.ndim) + blob.shape
            axes = dict(zip(("num", "channels", "height", "width"), shape, strict=True))
            entry.layer.blobs.add(**axes, data=blob.ravel())
    (tmp_path / "v0.caffemodel").write_bytes(net.SerializeToString())
    converters.convert(tmp_path / "v0.caffemodel", tmp_path / "x.npz")
    again = converters.read(tmp_path / "x.npz")
    assert same(again.named_blobs(), wanted.named_blobs()) and sorted(blobs) == ["c1", "ip"]
    assert list(again.net.layer[1].convolution_param.pad) == [1] and again.net.layer[1].type == "Convolution"


@pytest.mark.parametrize(
    ("weights", "model", "reference", "output"),
    [
        ("new.caffemodel", None, "ref.npz", "prob"),
        ("new.caffemodel", "net.prototxt", "ref.npz", "prob"),
        ("new.caffemodel.h5", "net.prototxt", "ref.npz", "prob"),
        ("v1.caffemodel", None, "v1_ref.npz", "prob"),
        ("v1.caffemodel", "v1.prototxt", "v1_ref.npz", "prob"),
    ],
)
def test_what_caffe_wrote(weights: str, model: str | None, reference: str, output: str) -> None:
    folder = GOLDEN / "weights"
    read = converters.read(folder / weights, folder / model if model else None)
    wanted = np.load(folder / reference)
    for layer in read.layer_blobs():
        for i, blob in enumerate(layer.blobs):
            key = wanted[f"param.{layer.name}.{i}"]
            assert np.array_equal(np.float32(blob).reshape(key.shape), key), (layer.name, i)
    got = read.runtime()(x=torch.from_numpy(wanted["x"]))[output].detach().numpy()
    np.testing.assert_allclose(got, wanted[output], atol=1e-6)


@pytest.mark.parametrize("target", FORMATS)
def test_v1_weights_of_four_axes_get_the_layers_own_shapes(target: str, tmp_path: Path) -> None:
    converters.convert(GOLDEN / "weights/v1.caffemodel", tmp_path / target)
    shapes = {k: v.shape for k, v in converters.read(tmp_path / target).named_blobs().items()}
    assert shapes == {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "fc/a.weight": (5, 80), "fc/a.bias": (5,)}


def test_state_dict_is_what_our_own_modules_and_torch_users_expect(tmp_path: Path) -> None:
    model = nets.model(nets.CLASSIC)
    converters.write(model, tmp_path / "x.pt")
    held = torch.load(tmp_path / "x.pt", weights_only=True)
    assert list(held["state_dict"]) == [f"{n}.{b}" for n in ("conv1", "conv2", "fc.8") for b in ("weight", "bias")]
    assert held["prototxt"] == model.prototxt
    torch.save(held["state_dict"], tmp_path / "plain.pt")
    with pytest.raises(ConvertError, match="model=deploy.prototxt"):
        converters.read(tmp_path / "plain.pt")
    again = converters.read(tmp_path / "plain.pt", model.net)
    assert same(again.named_blobs(), model.named_blobs())


def test_half_precision_state_dicts_are_widened(tmp_path: Path) -> None:
    model = nets.model(nets.SHARED)
    for dtype in (torch.float16, torch.bfloat16):
        state = {k: torch.tensor(v).to(dtype) for k, v in model.named_blobs().items()}
        torch.save(state, tmp_path / "half.pt")
        read = converters.read(tmp_path / "half.pt", model.net).named_blobs()
        assert all(v.dtype == np.float32 and np.array_equal(v, state[k].float().numpy()) for k, v in read.items())


def test_a_caffemodel_that_opencv_shrank_to_half_precision(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV makes the file")
    model = nets.model(nets.CLASSIC)
    converters.write(model, tmp_path / "x.caffemodel")
    cv2.dnn.shrinkCaffeModel(str(tmp_path / "x.caffemodel"), str(tmp_path / "half.caffemodel"))
    read = converters.read(tmp_path / "half.caffemodel", tmp_path / "x.prototxt")
    whole = model.named_blobs()
    assert whole.keys() == read.named_blobs().keys()
    for name, blob in read.named_blobs().items():
        np.testing.assert_array_equal(blob.astype(np.float32), whole[name].astype(np.float16).astype(np.float32), name)


def test_everything_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    model = nets.model(nets.CLASSIC)
    state = {k: torch.tensor(v) for k, v in model.named_blobs().items()}
    state["conv9.weight"] = state.pop("conv1.weight")
    state["fc.8.bias"] = torch.zeros(4)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(WeightsError) as e:
        converters.read(tmp_path / "x.pt", model.net)
    missing, extra = "missing: 'conv1.weight' (8, 3, 3, 3)", "not in the net: 'conv9.weight'"
    for part in (missing, extra, "'fc.8.bias' is (5,) in the net, (4,)"):
        assert part in str(e.value)


def test_weights_of_another_net(tmp_path: Path) -> None:
    converters.write(nets.model(nets.RESIDUAL), tmp_path / "x.caffemodel")
    with pytest.raises(WeightsError, match="conv1"):
        converters.convert(tmp_path / "x.caffemodel", tmp_path / "y.pt", model=nets.parse(nets.CLASSIC))
    assert not (tmp_path / "y.pt").exists()


def test_a_prototxt_alone_is_drawn_by_its_fillers(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(nets.TRAIN_VAL)
    torch.manual_seed(3)
    report = converters.convert(tmp_path / "net.prototxt", tmp_path / "out.safetensors")
    said = "\n".join(report.notes)
    assert "fillers" in said and "loss layer 'loss'" in said
    assert converters.read(tmp_path / "out.safetensors").named_blobs()["conv.weight"].std() > 0.1


def test_a_caffemodel_has_its_prototxt_beside_it(tmp_path: Path) -> None:
    report = converters.write(nets.model(nets.CLASSIC), tmp_path / "x.caffemodel")
    assert [Path(f).name for f in report.files] == ["x.caffemodel", "x.prototxt"]
    assert binary.read_net(tmp_path / "x.caffemodel").param.layer[1].name == "conv1"
    net = Net(converters.read(tmp_path / "x.prototxt").net)
    net.copy_from(str(tmp_path / "x.caffemodel"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: converters.read(d / "x.xyz"), r"no format has this extension; .* read: .*\.caffemodel"),
        (lambda d: converters.read(d / "x.caffemodel"), "there is no such file"),
        (lambda d: converters.write(nets.model(nets.SHARED), d / "no" / "x.pt"), "folder .* does not exist"),
        (lambda d: converters.write(nets.model(nets.SHARED), d / "x.pt", speed=3), "has no option speed"),
        (lambda d: converters.convert(d / "x.pt", d / "x.pt"), "source and target are the same file"),
        (lambda d: converters.convert(d / "x.pt", d / "x.gif"), "no format has this extension"),
    ],
)
def test_calls_that_cannot_be(call, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=message):
        call(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.pt"
    converters.write(nets.model(nets.SHARED), target)
    before = target.read_bytes()

    def half(model, path, **options) -> None:
        path.write_bytes(b"PK\x03\x04 half")
        raise OSError("no space left on device")

    monkeypatch.setattr(format_of(target, "write"), "write", half)
    with pytest.raises(OSError, match="no space"):
        converters.write(nets.model(nets.CLASSIC), target)
    assert target.read_bytes() == before and [f.name for f in tmp_path.iterdir()] == ["x.pt"]


def test_two_layers_of_one_name_are_refused_where_blobs_go_by_name(tmp_path: Path) -> None:
    text = nets.SHARED.replace('"right" type', '"left" type')
    with pytest.raises(CaffeError, match="several layers of one name: left"):
        converters.write(nets.model(text), tmp_path / "x.pt")


def test_a_mean_image_is_a_net_of_one_blob(tmp_path: Path) -> None:
    mean = GOLDEN / "data" / "mean.binaryproto"
    array = binary.read_blob(mean)
    converters.convert(mean, tmp_path / "mean.npz")
    assert np.array_equal(np.load(tmp_path / "mean.npz")["mean.w"], array)
    converters.convert(tmp_path / "mean.npz", tmp_path / "mean.binaryproto")
    assert np.array_equal(binary.read_blob(tmp_path / "mean.binaryproto"), array)
    converters.convert(mean, tmp_path / "mean.onnx")
    with pytest.raises(ConvertError, match="holds one blob, net 'shared' has 2|holds one blob, net 'shared' has 4"):
        converters.write(nets.model(nets.SHARED), tmp_path / "x.binaryproto")


BATCH_STATISTICS = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }
layer { name: "n" type: "BatchNorm" bottom: "x" top: "n" batch_norm_param { use_global_stats: false } }"""


@pytest.mark.parametrize("options", [{}, {"fuse": True}], ids=["", "fuse"])
@pytest.mark.parametrize("target", ["y.onnx", "y.py"])
def test_proving_a_net_that_moves_its_statistics_leaves_its_weights(target: str, options: dict, tmp_path: Path) -> None:
    """The weights are a file mapped for reading, where a write would end the process; or arrays of the caller."""
    pytest.importorskip("onnxruntime", reason="ONNX is an extra")
    model = nets.model(BATCH_STATISTICS)
    before = bits(model)
    converters.write(model, tmp_path / "x.caffemodel")
    converters.convert(tmp_path / "x.caffemodel", tmp_path / target, **options)
    converters.write(model, tmp_path / f"again_{target}", **options)
    assert bits(model) == before == bits(converters.read(tmp_path / "x.caffemodel"))
