"""BatchNorm: both kinds of statistics, their growing sums, and both gradients."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError, ShapeError
from caffe_port.layers.base import TEST, TRAIN
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from converters.onnx_check import run_onnx
from converters.onnx_model import export
from tests.layers.runner import Case, make, run


def per_channel(v, x):
    return v.reshape(1, -1, *[1] * (x.ndim - 2))


def batch(eps=1e-5):
    def tops(bottoms, blobs):
        x = bottoms[0]
        axes = (0, *range(2, x.ndim))
        return [(x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)]

    return tops


def stored(bottoms, blobs):
    x, (mean, variance, factor) = bottoms[0], blobs
    scale = 0 if factor[0] == 0 else 1 / factor[0]
    return [(x - per_channel(mean * scale, x)) / np.sqrt(per_channel(variance * scale, x) + 1e-5)]


CASES = [
    Case("train", 'type: "BatchNorm"', [(4, 3, 5, 2)], batch(), phase="TRAIN"),
    Case("train, vectors", 'type: "BatchNorm" batch_norm_param { eps: 0.1 }', [(7, 5)], batch(0.1), phase="TRAIN"),
    Case("train, 3 spatial axes", 'type: "BatchNorm"', [(2, 3, 2, 4, 1)], batch(), phase="TRAIN"),
    Case("train, stored", 'type: "BatchNorm" batch_norm_param { use_global_stats: true }', [(4, 3, 5)], stored,
         phase="TRAIN"),
    Case("test, never trained", 'type: "BatchNorm" batch_norm_param { eps: 0.01 }', [(4, 3, 5, 2)],
         lambda bottoms, blobs: [bottoms[0] / 0.1]),
    Case("test, batch's own", 'type: "BatchNorm" batch_norm_param { use_global_stats: false }', [(4, 3, 5)], batch(),
         opencv="it has no batch statistics"),
    Case("eps behind the root, never trained",
         'type: "BatchNorm" batch_norm_param { eps: 0.5 add_eps_before_sqrt: false }', [(4, 3, 5, 2)],
         lambda bottoms, blobs: [bottoms[0] / 0.5], opencv="it drops add_eps_before_sqrt"),
]
test_cases = run(CASES)
FILLERS = 'scale_filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "uniform" min: -1 max: 1 }'


def nvidia(name, options, found, bottom=(4, 3, 5, 2), **more):
    def tops(bottoms, blobs):
        unit = found(bottoms, blobs[:3])[0]
        return [unit * per_channel(blobs[3], unit) + per_channel(blobs[4], unit)]

    more.setdefault("opencv", "it has three blobs")
    return Case(f"NVIDIA, {name}", f'type: "BatchNorm" batch_norm_param {{ {options} }}', [bottom], tops, **more)


NVIDIAS = [
    nvidia("train", FILLERS, batch(), phase="TRAIN"),
    nvidia("train, vectors", f"{FILLERS} eps: 0.1", batch(0.1), (7, 5), phase="TRAIN"),
    nvidia("no filler", "scale_bias: true", batch(), phase="TRAIN"),
    nvidia("no smaller eps", f"{FILLERS} eps: 0", batch(), phase="TRAIN"),
    nvidia("one value a channel", FILLERS, batch(), (1, 3), phase="TRAIN"),
    nvidia("stored", FILLERS, stored),
    nvidia("stored, vectors", FILLERS, stored, (4, 3)),
    nvidia("batch's own", f"{FILLERS} use_global_stats: false", batch()),
]
test_nvidias = run(NVIDIAS)


def test_nvidias_statistics_are_averages():
    layer = make(nvidia("l", f"{FILLERS} moving_average_fraction: 0.75", batch(), phase="TRAIN")).layer("l").double()
    xs = [np.random.default_rng(i).normal(2, 3, (4, 3, 5, 2)) for i in range(4)]
    wanted = None
    for i, x in enumerate(xs):
        layer(torch.tensor(x))
        new = np.array([x.mean((0, 2, 3)), x.var((0, 2, 3))])
        wanted = new if i < 2 else 0.75 * wanted + 0.25 * new
    np.testing.assert_allclose(torch.stack([layer.mean, layer.variance]), wanted, rtol=1e-12)
    assert layer.scale_factor.item() == 1


def test_nvidias_rates():
    layer = f'type: "BatchNorm" {"param { lr_mult: 2 } " * 5} batch_norm_param {{ {FILLERS} }}'
    net = make(Case("l", layer, [(4, 3)], phase="TRAIN"))
    assert [blob.lr_mult for blob in net.learnable] == [0, 0, 0, 2, 2]


def test_nvidias_form_then_a_scale_in_one_pass():
    """fuse.py joins the two: the slopes multiply."""
    definition = f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 3 dim: 5 }} }} }}
        layer {{ name: "n" type: "BatchNorm" bottom: "x" top: "n" batch_norm_param {{ {FILLERS} }} }}
        layer {{ name: "s" type: "Scale" bottom: "n" top: "s"
                 scale_param {{ bias_term: true filler {{ type: "gaussian" }} bias_filler {{ value: 3 }} }} }}"""
    for phase in (TRAIN, TEST):
        net = Net(text.parse(definition, caffe_pb2.NetParameter).message, phase).double()
        x = torch.randn(4, 3, 5, dtype=torch.float64)
        joined = net.run({"x": x}).outputs["s"]
        torch.testing.assert_close(joined, net.run({"x": x}, keep=True).values["s"], rtol=1e-10, atol=1e-12)


def test_statistics_are_sums_with_a_count():
    layer = make(CASES[0]).layer("l").double()
    layer.param.batch_norm_param.moving_average_fraction = 0.9
    rng, wanted = np.random.default_rng(3), [np.zeros(3), np.zeros(3), np.zeros(1)]
    fraction = layer.param.batch_norm_param.moving_average_fraction
    for _ in range(3):
        x = rng.normal(2, 3, (4, 3, 5, 2))
        layer(torch.tensor(x))
        new = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1), np.ones(1)
        wanted = [fraction * old + n for old, n in zip(wanted, new, strict=True)]
    for blob, want in zip(layer.blobs, wanted, strict=True):
        np.testing.assert_allclose(blob, want, rtol=1e-12)
    layer.use_global_stats = True
    x = rng.normal(2, 3, (4, 3, 5, 2))
    np.testing.assert_allclose(layer(torch.tensor(x)), stored([x], wanted)[0], rtol=1e-10, atol=1e-12)


def test_blobs_stay_the_same_tensors():
    layer = make(CASES[0]).layer("l")
    before = list(layer.blobs)
    layer(torch.randn(4, 3, 5, 2))
    assert all(a is b for a, b in zip(before, layer.blobs, strict=True))
    assert not any(b.requires_grad for b in layer.blobs)
    assert layer.scale_factor.item() == 1


def test_the_stored_gradient_is_divided_by_the_deviation():
    layer = make(CASES[3]).layer("l").double()
    layer.mean.copy_(torch.tensor([1.0, 2, 3]))
    layer.variance.copy_(torch.tensor([4.0, 9, 16]))
    layer.scale_factor.fill_(2)
    x = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad[0, :, 0], 1 / np.sqrt(np.array([2, 4.5, 8]) + 1e-5), rtol=1e-9)


def test_one_value_a_channel_has_no_correction():
    layer = make(Case("l", 'type: "BatchNorm"', [(1, 3)], phase="TRAIN")).layer("l")
    assert (layer(torch.tensor([[5.0, -1.0, 2.0]])) == 0).all()
    assert layer.mean.tolist() == [5, -1, 2] and layer.variance.tolist() == [0, 0, 0]


def test_an_empty_batch_changes_nothing():
    layer = make(CASES[0]).layer("l")
    assert layer(torch.zeros(0, 3, 5, 2)).shape == (0, 3, 5, 2)
    assert layer.scale_factor.item() == 0


def test_one_axis_is_one_channel():
    x = torch.randn(50, dtype=torch.float64)
    y = make(Case("l", 'type: "BatchNorm"', [(50,)], phase="TRAIN")).double().layer("l")(x)
    np.testing.assert_allclose(y, (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt(), rtol=1e-10)


def test_statistics_cannot_be_learned():
    with pytest.raises(LayerError, match="lr_mult must be 0"):
        make(Case("l", 'type: "BatchNorm" param { lr_mult: 1 }', [(2, 3)]))


def test_another_number_of_channels_is_refused():
    net = make(CASES[0])
    with pytest.raises(ShapeError, match="made for 3 channels"):
        net.reshape({"b0": (4, 2, 5, 2)})


NORMS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 2 } } }
layer { name: "a" type: "BatchNorm" bottom: "data" top: "a" batch_norm_param { moving_average_fraction: 0.5 } }
layer { name: "b" type: "BatchNorm" bottom: "data" top: "b" batch_norm_param { use_global_stats: true } }
layer { name: "wide" type: "Tile" bottom: "data" top: "wide" tile_param { tiles: 22 } }
layer { name: "c" type: "BatchNorm" bottom: "wide" top: "c" }
layer { name: "d" type: "BatchNorm" bottom: "wide" top: "d" batch_norm_param { use_global_stats: true } }
layer { name: "nv" type: "BatchNorm" bottom: "data" top: "nv" batch_norm_param { scale_bias: true } }
layer { name: "s" type: "BatchNorm" bottom: "data" top: "s" param { name: "m" lr_mult: 0 }
        param { name: "v" lr_mult: 0 } param { name: "f" lr_mult: 0 } }
layer { name: "t" type: "BatchNorm" bottom: "s" top: "t" param { name: "m" lr_mult: 0 }
        param { name: "v" lr_mult: 0 } param { name: "f" lr_mult: 0 } }
layer { name: "one" type: "Pooling" bottom: "data" top: "one" pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Reshape" bottom: "one" top: "flat" reshape_param { shape { dim: 1 dim: 12 } } }
layer { name: "e" type: "BatchNorm" bottom: "flat" top: "e" }
"""


@pytest.mark.parametrize("changed", ["", "cd"])
def test_all_at_once_as_each_by_itself(changed):
    """Net.run handles the statistics of all layers together; a layer by itself, and the islands, do not. `changed`:
    layers whose use_global_stats is another than when the net was built."""
    param = text.parse(NORMS, caffe_pb2.NetParameter).message
    together, alone = Net(param, TRAIN), Net(param, TRAIN)
    for net in (together, alone):
        torch.manual_seed(1)
        for name in "bcd":
            for blob in net.layer(name).blobs:
                blob.uniform_(0.5, 2)
        for name in changed:
            net.layer(name).use_global_stats = not net.layer(name).use_global_stats
    for number in range(3):
        x = torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(number))
        got = together(data=x)
        values = {"data": x}
        for node in alone.graph.nodes[1:]:
            tops = node.layer(*[values[b.name] for b in node.bottoms])
            values |= zip([t.name for t in node.tops], [tops] if torch.is_tensor(tops) else tops, strict=True)
        for name, value in got.items():
            assert torch.equal(value, values[name]), name
    for mine, theirs in zip(together.learnable, alone.learnable, strict=True):
        assert torch.equal(mine.tensor, theirs.tensor), (mine.layer.name, mine.blob)
    assert together.layer("a").scale_factor.item() == 1.75 and together.layer("e").scale_factor.item() > 2.9


def test_a_pass_that_fails_changes_no_statistics():
    net = Net(text.parse(NORMS, caffe_pb2.NetParameter).message, TRAIN)
    net.layer("t").forward = None
    with pytest.raises(LayerError, match="'t'"):
        net(data=torch.randn(4, 3, 5, 2))
    assert not net.layer("c").mean.any() and net.layer("c").slot is None
    net.layer("c")(torch.randn(4, 66, 5, 2))
    assert net.layer("c").mean.all()


def test_eps_behind_the_root(tmp_path):
    """y = (x - mean) / (sqrt(variance) + eps): here and as ONNX."""
    net = Net(text.parse("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "c"
                convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
        layer { name: "n" type: "BatchNorm" bottom: "c" top: "n"
                batch_norm_param { eps: 0.25 add_eps_before_sqrt: false } }""", caffe_pb2.NetParameter).message)
    norm = net.layer("n")
    with torch.no_grad():
        norm.mean.copy_(torch.tensor([2.0, -3.0]))
        norm.variance.copy_(torch.tensor([8.0, 0.5]))
        norm.scale_factor.fill_(2)
    x = torch.randn(2, 3, 4, 5)
    c = net.layer("c")(x)
    wanted = (c - torch.tensor([1, -1.5]).view(2, 1, 1)) / torch.tensor([2.25, 0.75]).view(2, 1, 1)
    torch.testing.assert_close(net(x=x)["n"], wanted)
    export(net).save(tmp_path / "n.onnx")
    torch.testing.assert_close(torch.tensor(run_onnx(tmp_path / "n.onnx", {"x": x.numpy()})["n"]), wanted.detach())
