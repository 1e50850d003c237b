"""The pycaffe face: inputs by keyword, live arrays, parts of a net, callbacks, `import caffe`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import caffe_port.pycaffe as caffe
from caffe_port.errors import CaffeError

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


def test_forward_by_keyword_and_by_hand_are_the_same(net: caffe.Net) -> None:
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


def test_a_value_changed_between_layers_counts(net: caffe.Net) -> None:
    net.forward(data=X, end="twice")
    net.blobs["twice"].data[...] = 1
    out = net.forward(start="out")["out"]
    np.testing.assert_allclose(
        out, np.tile(net.params["out"][0].data.sum(1) + net.params["out"][1].data, (2, 1)), rtol=1e-5
    )


def test_backward_whole_and_from_the_middle(net: caffe.Net) -> None:
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


def test_param_diffs_add_up_until_cleared(net: caffe.Net) -> None:
    net.forward(data=X)
    net.backward(out=np.ones((2, 5), np.float32))
    once = net.params["out"][0].diff.copy()
    net.backward(out=np.ones((2, 5), np.float32))
    np.testing.assert_allclose(net.params["out"][0].diff, 2 * once, rtol=1e-6)
    net.clear_param_diffs()
    assert not net.params["out"][0].diff.any()


def test_forward_all_runs_in_batches(net: caffe.Net) -> None:
    many = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    outs = net.forward_all(data=many)
    assert outs["out"].shape == (5, 5)
    np.testing.assert_allclose(outs["out"][4], net.forward(data=many[[4, 4]])["out"][0], rtol=1e-6)
    outs, diffs = net.forward_backward_all(data=many, out=np.ones((5, 5), np.float32))
    assert diffs["data"].shape == (5, 3)


def test_reshape(net: caffe.Net) -> None:
    net.blobs["data"].reshape(7, 3)
    net.reshape()
    assert net.forward(data=np.ones((7, 3)))["out"].shape == (7, 5)


def test_callbacks_see_every_layer(net: caffe.Net) -> None:
    seen: list[tuple[str, str]] = []
    net.before_forward(lambda n, i: seen.append(("forward", n._layer_names[i])))
    net.after_backward(lambda n, i: seen.append(("backward", n._layer_names[i])))
    net.forward(data=X, start="relu", end="twice")
    net.backward(start="twice", end="relu")
    assert seen == [("forward", "relu"), ("forward", "twice"), ("backward", "twice"), ("backward", "relu")]


def test_save_copy_share(net: caffe.Net, tmp_path: Path) -> None:
    net.save(str(tmp_path / "a.caffemodel"))
    other = caffe.Net(str(tmp_path / "net.prototxt"), str(tmp_path / "a.caffemodel"), caffe.TEST)
    np.testing.assert_array_equal(other.params["ip"][0].data, net.params["ip"][0].data)
    third = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    third.share_with(net)
    net.params["ip"][0].data[...] = 9
    assert (third.params["ip"][0].data == 9).all()


def test_hdf5_round_trip(net: caffe.Net, tmp_path: Path) -> None:
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
        call(net)  # type: ignore[operator]


def test_import_caffe_in_an_unchanged_script(tmp_path: Path) -> None:
    """The alias hands out the same modules, loads nothing twice, and finds submodules."""
    script = tmp_path / "script.py"
    script.write_text(
        "import caffe, caffe.io\nfrom caffe.proto import caffe_pb2\nimport caffe_port.pycaffe as own\n"
        "assert caffe.Net is own.Net and caffe.io is own.io and caffe_pb2 is own.proto.caffe_pb2\n"
        "assert own.__name__ == 'caffe_port.pycaffe', own.__name__\nprint(len(caffe.layer_type_list()))\n"
    )
    done = subprocess.run([sys.executable, "-m", "caffe_port.pycaffe", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


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
    transformer = caffe.io.Transformer({"data": (1, 3, 4, 5)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([1.0, 2.0, 3.0]))
    hwc = image.transpose(1, 2, 0) / 255.0
    ready = transformer.preprocess("data", hwc)
    np.testing.assert_allclose(ready, image[::-1] - np.array([1, 2, 3]).reshape(3, 1, 1), atol=1e-3)
    np.testing.assert_allclose(transformer.deprocess("data", ready), hwc, atol=1e-5)
