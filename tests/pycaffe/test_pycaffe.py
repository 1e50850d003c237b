"""The pycaffe face: inputs by keyword, live arrays, parts of a net, callbacks, `import caffe`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_port.pycaffe as caffe
from caffe_port import log as logs
from caffe_port.errors import CaffeError
from caffe_port.pycaffe import host

ROOT = Path(__file__).parents[2]
NET = """
name: "face" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "twice" type: "Power" bottom: "ip" top: "twice" power_param { scale: 2 } }
layer { name: "out" type: "InnerProduct" bottom: "twice" top: "out"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    caffe.set_random_seed(2)
    return caffe.Net(str(path), caffe.TEST)


@pytest.fixture(params=["the tensor's memory", "lent"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, net: caffe.Net) -> caffe.Net:
    """The net with arrays of its own memory, and with copies as on a GPU."""
    if request.param == "lent":
        monkeypatch.setattr(host, "in_reach", lambda tensor: False)
    return net


X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def test_what_a_net_shows(net: caffe.Net) -> None:
    assert list(net.blobs) == ["data", "ip", "twice", "out"]
    assert list(net.params) == ["ip", "out"]
    assert (net.inputs, net.outputs) == (["data"], ["out"])
    assert list(net._layer_names) == ["data", "ip", "relu", "twice", "out"]
    assert [layer.type for layer in net.layers] == ["Input", "InnerProduct", "ReLU", "Power", "InnerProduct"]
    assert net.layer_dict["ip"].blobs[0].shape == (4, 3)
    assert net.top_names["relu"] == ["ip"] and net.bottom_names["out"] == ["twice"]
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 1, 1, 6)
    assert (net._inputs, net._outputs, net._bottom_ids(3), net._top_ids(3)) == ([0], [3], [1], [2])
    assert net._blob_loss_weights == [0.0] * 4 and net._blobs[2] is net.blobs["twice"]


def test_forward_by_keyword_and_by_hand_are_the_same(anywhere: caffe.Net) -> None:
    net = anywhere
    by_keyword = net.forward(data=X)["out"].copy()
    net.blobs["data"].data[...] = X
    assert net._forward(0, None) == 0.0
    np.testing.assert_array_equal(net.blobs["out"].data, by_keyword)
    assert set(net.forward(blobs=["ip"])) == {"ip", "out"}
    w, b = (p.data for p in net.params["ip"])
    np.testing.assert_allclose(net.blobs["ip"].data, np.maximum(X @ w.T + b, 0), rtol=1e-6)


def test_arrays_are_live(net: caffe.Net) -> None:
    held = net.blobs["out"].data
    net.forward(data=X)
    first = held.copy()
    net.params["out"][1].data[...] = 3
    net.forward(data=X)
    np.testing.assert_allclose(held, first + 3, rtol=1e-6)


def test_a_value_changed_between_layers_counts(anywhere: caffe.Net) -> None:
    net = anywhere
    net.forward(data=X, end="twice")
    net.blobs["twice"].data[...] = 1
    out = net.forward(start="out")["out"]
    np.testing.assert_allclose(
        out, np.tile(net.params["out"][0].data.sum(1) + net.params["out"][1].data, (2, 1)), rtol=1e-5
    )


def test_backward_whole_and_from_the_middle(anywhere: caffe.Net) -> None:
    net = anywhere
    net.forward(data=X)
    seed = np.ones((2, 5), np.float32)
    whole = net.backward(out=seed)["data"].copy()
    w_out, w_in = net.params["out"][0].data, net.params["ip"][0].data
    middle = 2 * (seed @ w_out) * (net.blobs["ip"].data > 0)
    np.testing.assert_allclose(whole, middle @ w_in, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.blobs["twice"].diff, seed @ w_out, rtol=1e-6)
    net.blobs["twice"].diff[...] = 0.5
    part = net.backward(start="twice", diffs=["twice"])
    np.testing.assert_allclose(part["data"], (1.0 * (net.blobs["ip"].data > 0)) @ w_in, rtol=1e-5, atol=1e-6)


def test_param_diffs_add_up_until_cleared(anywhere: caffe.Net) -> None:
    net = anywhere
    net.forward(data=X)
    net.backward(out=np.ones((2, 5), np.float32))
    once = net.params["out"][0].diff.copy()
    net.backward(out=np.ones((2, 5), np.float32))
    np.testing.assert_allclose(net.params["out"][0].diff, 2 * once, rtol=1e-6)
    net.clear_param_diffs()
    assert not net.params["out"][0].diff.any()


def test_forward_all_runs_in_batches(anywhere: caffe.Net) -> None:
    net = anywhere
    many = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    outs = net.forward_all(data=many)
    assert outs["out"].shape == (5, 5)
    np.testing.assert_allclose(outs["out"][4], net.forward(data=many[[4, 4]])["out"][0], rtol=1e-6)
    outs, diffs = net.forward_backward_all(data=many, out=np.ones((5, 5), np.float32))
    assert outs["out"].shape == (5, 5) and diffs["data"].shape == (5, 3)
    net.blobs["data"].data[...] = X
    outs, diffs = net.forward_backward_all(blobs=["ip"], diffs=["twice"], out=np.ones((2, 5), np.float32))
    assert outs["ip"].shape == diffs["twice"].shape == (2, 4)
    np.testing.assert_allclose(outs["out"], net.forward(data=X)["out"], rtol=1e-6)


def test_reshape(anywhere: caffe.Net) -> None:
    net = anywhere
    net.blobs["data"].reshape(7, 3)
    net.reshape()
    assert net.forward(data=np.ones((7, 3)))["out"].shape == (7, 5)


def test_callbacks_see_every_layer(net: caffe.Net) -> None:
    seen: list[tuple[str, str]] = []
    net.before_forward(lambda i: seen.append(("forward", net._layer_names[i])))
    net.after_backward(lambda i: seen.append(("backward", net._layer_names[i])))
    net.forward(data=X, start="relu", end="twice")
    net.backward(start="twice", end="relu")
    assert seen == [("forward", "relu"), ("forward", "twice"), ("backward", "twice"), ("backward", "relu")]


def test_a_callback_may_change_values(anywhere: caffe.Net) -> None:
    net = anywhere
    plain = net.forward(data=X)["out"].copy()

    def double(layer: int) -> None:
        if net._layer_names[layer] == "twice":
            net.blobs["twice"].data[...] *= 2

    net.after_forward(double)
    bias = net.params["out"][1].data
    np.testing.assert_allclose(net.forward(data=X)["out"], 2 * (plain - bias) + bias, rtol=1e-5)


STAGED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "train" type: "Power" bottom: "data" top: "a" include { phase: TRAIN } }
layer { name: "deep" type: "Power" bottom: "data" top: "b" include { min_level: 2 } }
layer { name: "staged" type: "InnerProduct" bottom: "data" top: "c" include { stage: "s" }
  inner_product_param { num_output: 2 } }
"""
FORMS: list[tuple[str, tuple, dict, set[str]]] = [
    ("file alone", (), {}, set()),
    ("phase", (caffe.TRAIN,), {}, {"a"}),
    ("all by place", (caffe.TRAIN, 2, ["s"], "w"), {}, {"a", "b", "c"}),
    ("all by name", (), dict(phase=caffe.TEST, level=3, stages=["s"], weights="w"), {"b", "c"}),
    ("the older form", ("w", caffe.TRAIN), {}, {"a"}),
    ("without its phase", ("w",), {}, set()),
    ("both", (caffe.TEST, 2), dict(stages=("s", "t")), {"b", "c"}),
]


@pytest.mark.parametrize(("given", "named", "tops"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_ways_to_open_a_net(
    given: tuple, named: dict, tops: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net").write_text(STAGED)
    weighted = caffe.Net("net", caffe.TEST, stages=["s"])
    weighted.params["staged"][0].data[...] = 7
    weighted.save("w")
    net = caffe.Net("net", *given, **named)
    assert set(net.outputs) - {"data"} == tops
    if "c" in tops and ("w" in given or "weights" in named):
        assert (net.params["staged"][0].data == 7).all()


def test_too_many_arguments() -> None:
    with pytest.raises(TypeError, match="phase, level, stages, weights; 5 were given"):
        caffe.Net("net", 0, 0, None, None, None)


def test_save_copy_share(anywhere: caffe.Net, tmp_path: Path) -> None:
    net = anywhere
    net.save(str(tmp_path / "a.caffemodel"))
    other = caffe.Net(str(tmp_path / "net.prototxt"), str(tmp_path / "a.caffemodel"), caffe.TEST)
    np.testing.assert_array_equal(other.params["ip"][0].data, net.params["ip"][0].data)
    third = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    third.share_with(net)
    net.params["ip"][0].data[...] = 9
    assert (third.params["ip"][0].data == 9).all()


def test_hdf5_round_trip(anywhere: caffe.Net, tmp_path: Path) -> None:
    net = anywhere
    pytest.importorskip("h5py", reason="an optional package")
    net.save_hdf5(str(tmp_path / "a.h5"))
    other = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    other.load_hdf5(str(tmp_path / "a.h5"))
    np.testing.assert_array_equal(other.params["out"][0].data, net.params["out"][0].data)


REFUSED = [
    (lambda net: net.forward(nothing=X), "do not match net inputs"),
    (lambda net: net.forward(data=np.zeros((3, 3))), "not batch sized"),
    (lambda net: net.forward(end="nowhere"), "no layer 'nowhere'; its layers: data, ip"),
    (lambda net: net.set_input_arrays(X, X), "needs a MemoryData layer"),
    (lambda net: caffe.Net("nowhere.prototxt", caffe.TEST), "nowhere.prototxt"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_what_is_refused(net: caffe.Net, call: object, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        call(net)


def test_import_caffe_in_an_unchanged_script(tmp_path: Path) -> None:
    """The alias hands out the same modules, loads nothing twice, and finds submodules; also beside a folder of a Caffe
    that does not run. The script finds its neighbours and its arguments."""
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").write_text("from ._caffe import Net\n")
    (tmp_path / "neighbour.py").write_text("from caffe.net_spec import NetSpec\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, caffe, caffe.io, caffe.draw, neighbour\nfrom caffe.proto import caffe_pb2\n"
        "import caffe.proto.caffe_pb2 as pb2, caffe._caffe, caffe.pycaffe, caffe_port.pycaffe as own\n"
        "assert caffe.Net is own.Net and caffe.io is own.io and pb2 is caffe_pb2 is own.proto.caffe_pb2\n"
        "assert caffe._caffe.Net is caffe.pycaffe.Net is own.Net and neighbour.NetSpec is own.NetSpec\n"
        "assert own.__name__ == 'caffe_port.pycaffe', own.__name__\nassert sys.argv[1:] == ['-a', 'b']\n"
        "print(len(caffe.layer_type_list()))\n"
    )
    for how in ([str(script)], ["-m", "script"]):
        done = subprocess.run(
            [sys.executable, "-m", "caffe_port.pycaffe", *how, "-a", "b"],
            capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 50


def test_what_is_for_several_processes() -> None:
    assert (caffe.has_nccl(), caffe.solver_count(), caffe.solver_rank()) == (False, 1, 0)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.set_multiprocess(True)
    for call in (caffe.NCCL.new_uid, caffe.NCCL, lambda: caffe.set_solver_count(2), lambda: caffe.set_solver_rank(1)):
        with pytest.raises(CaffeError, match="torchrun"):
            call()


def test_timer() -> None:
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.002)
    timer.stop()
    first = timer.ms
    assert first >= 2 and timer.ms == first
    timer.start()
    assert timer.ms < first + 1000 and timer.ms == timer.ms


def test_init_log_sets_the_level(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_level", None)
    monkeypatch.setattr(logs, "_stream", None)
    caffe.init_log()
    caffe.log("heard")
    caffe.init_log(1, True)
    caffe.log("not heard")
    assert [line.split("] ")[1] for line in capsys.readouterr().err.splitlines()] == ["heard"]


def test_draw(tmp_path: Path) -> None:
    net = caffe.proto.caffe_pb2.NetParameter()
    text_format.Merge(NET, net)
    assert caffe.draw.draw_net(net, "LR").startswith(b"\x89PNG")
    caffe.draw.draw_net_to_file(net, str(tmp_path / "net.svg"), "TB", caffe.TEST, display_lrm=True)
    assert "lr mult: 1.0, 1.0" in (tmp_path / "net.svg").read_text()
    old = caffe.proto.caffe_pb2.NetParameter()
    text_format.Merge('layers { name: "old one" type: RELU bottom: "a" top: "b" }', old)
    assert b"old one" in caffe.draw.draw_net(old, "BT", ext="svg")
    with pytest.raises(CaffeError, match="png or svg, not as 'pdf'"):
        caffe.draw.draw_net_to_file(net, "net.pdf")


def test_io_round_trips() -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 4, 5)).astype(np.uint8)
    datum = caffe.io.array_to_datum(image, 7)
    assert datum.label == 7
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), image)
    np.testing.assert_array_equal(
        caffe.io.datum_to_array(caffe.io.array_to_datum(image / 2.0)), (image / 2.0).astype(np.float32)
    )
    values = image.astype(np.float32)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(caffe.io.array_to_blobproto(values)), values)
    arrays = [values, np.float32([[1, 2]])]
    for back, array in zip(
        caffe.io.blobprotovector_str_to_arraylist(caffe.io.arraylist_to_blobprotovector_str(arrays)),
        arrays,
        strict=True,
    ):
        np.testing.assert_array_equal(back, array)
    transformer = caffe.io.Transformer({"data": (1, 3, 4, 5)})
    with pytest.raises(ValueError, match="as many entries as the input has axes"):
        transformer.set_transpose("data", (1, 0))
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([1.0, 2.0, 3.0]))
    hwc = image.transpose(1, 2, 0) / 255.0
    ready = transformer.preprocess("data", hwc)
    np.testing.assert_allclose(ready, image[::-1] - np.array([1, 2, 3]).reshape(3, 1, 1), atol=1e-3)
    np.testing.assert_allclose(transformer.deprocess("data", ready), hwc, atol=1e-5)
