"""The net: one function of inputs and blobs; its two drivers agree; sharing, copying, saving, reshaping."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port import hdf5
from caffe_port.errors import CaffeError, NetError, ShapeError, WeightsError
from caffe_port.islands import Islands
from caffe_port.layers.base import TEST, TRAIN
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 7 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true filler { value: 0.7 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "branch" type: "Convolution" bottom: "conv" top: "branch" convolution_param { num_output: 4 kernel_size: 1
  weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "branch" top: "sum" }
layer { name: "sum_relu" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "fc.1" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" loss_weight: 0.3 }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
"""


def parse(prototxt: str) -> object:
    return text.parse(prototxt, caffe_pb2.NetParameter).message


def small(phase: int = TRAIN) -> Net:
    torch.manual_seed(1)
    return Net(parse(SMALL), phase)


def inputs(batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {"data": torch.randn(batch, 3, 9, 7, generator=generator), "label": torch.tensor([1.0, 4.0])[:batch]}


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_the_two_drivers_agree(phase: int) -> None:
    """Losses, every blob, every diff of a parameter, and BatchNorm's statistics, after two passes of each driver."""
    functional, other = small(phase), small(phase)
    islands = Islands(other)
    for _ in range(2):
        result = functional.run(inputs(), keep=True)
        result.loss.backward()
        for name, value in inputs().items():
            other.blobs[name].data.copy_(value)
        loss = islands.forward()
        islands.backward()
        assert loss == pytest.approx(float(result.loss.detach()), rel=1e-6)
    for name, value in functional.graph.last.items():
        torch.testing.assert_close(other.blobs[name].data, result.values[value.id].detach())
    for mine, theirs in zip(functional.learnable, other.learnable, strict=True):
        torch.testing.assert_close(mine.diff, theirs.diff, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mine.tensor, theirs.tensor)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_joined_steps_change_no_more_than_rounding(phase: int) -> None:
    joined, single = small(phase), small(phase)
    a, b = joined.run(inputs()), single.run(inputs(), keep=True)
    assert len(joined.fused_steps) < len(joined.single_steps)
    a.loss.backward()
    b.loss.backward()
    torch.testing.assert_close(a.outputs["loss"], b.outputs["loss"])
    for mine, theirs in zip(joined.learnable, single.learnable, strict=True):
        torch.testing.assert_close(mine.diff, theirs.diff, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(mine.tensor, theirs.tensor)


def test_a_module_like_any_other() -> None:
    net = small(TEST)
    x = inputs()
    x["data"].requires_grad_()
    out = net(**x)
    assert sorted(out) == net.outputs == ["accuracy", "loss"]
    out["loss"].backward()
    assert x["data"].grad is not None and float(x["data"].grad.abs().sum()) > 0
    assert net.double().run({k: v.detach().double() for k, v in x.items()}).loss.dtype == torch.float64


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_a_copy_has_layers_of_its_own(copied: Callable[[Net], Net]) -> None:
    net = small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wanted = copied(net).run(inputs()).loss
    other = copied(net)
    with torch.no_grad():
        other.layer("scale").bias.add_(1)
    assert abs(other.run(inputs()).loss - wanted) > 1e-3
    assert other.layer("bn").scale_factor == 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(net.run(inputs()).loss, wanted)


def test_runs_at_another_batch_size_than_it_was_built_for() -> None:
    assert small(TEST).run(inputs(1), keep=["fc"]).values["fc"].shape == (1, 5)


def test_an_input_of_another_rank_is_refused() -> None:
    with pytest.raises(NetError, match="input 'data' wants 4 axes"):
        small().run({"data": torch.zeros(3, 9, 7), "label": torch.zeros(2)})


def test_loss_weight_seeds_the_diff_and_not_the_value() -> None:
    net = small(TEST)
    result = net.run(inputs())
    assert float(result.loss.detach()) == pytest.approx(0.3 * float(result.outputs["loss"].detach()))
    assert net.loss_weights == {"accuracy": 0.0, "loss": pytest.approx(0.3)}


READ_ON = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@pytest.mark.parametrize(("reader", "slope"), [
    ('type: "Power" power_param { scale: 0.5 } top: "p" loss_weight: 3', 1.5),
    ('type: "Power" power_param { scale: 0.5 } top: "p"', None),
    ('type: "Power" power_param { scale: 0.5 } top: "p" loss_weight: 3 propagate_down: false', None),
    ('type: "Silence"', None),
])
def test_a_reader_of_a_loss_writes_over_its_seed(reader: str, slope: float | None) -> None:
    """Caffe's blob of the loss holds its weight until a reader's backward puts its own diff there; nothing is added.

    A reader that hands no diff down switches the loss off (`Net::Init` sees nobody wanting one).
    """
    net = Net(parse(READ_ON + f'layer {{ name: "reader" bottom: "loss" {reader} }}'), TRAIN)
    generator = torch.Generator().manual_seed(2)
    feeds = {name: torch.randn(3, 5, generator=generator) for name in ("x", "t")}
    result = net.run(feeds, keep=True)
    loss = result.values["loss"]
    more = 3 * 0.5 * loss if "loss_weight" in reader else 0
    torch.testing.assert_close(result.loss, loss + more)
    if slope is None:
        assert not result.loss.requires_grad
        return
    (want,) = torch.autograd.grad(slope * loss, net.learnable[0].tensor, retain_graph=True)
    result.loss.backward()
    torch.testing.assert_close(net.learnable[0].diff, want)


def test_a_layer_in_place_may_add_axes() -> None:
    """MVN makes four axes of three; the blob's diff then has the top's shape."""
    mvn = 'layer {{ name: "l" type: "MVN" bottom: "h" top: "{}" }}'
    x = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 } } }'
    diffs = []
    for top in ("h", "y"):
        net = Net(parse(f'force_backward: true {x} layer {{ name: "p" type: "Power" bottom: "x" top: "h" }} '
                        + mvn.format(top)), TEST)
        islands = Islands(net)
        net.blobs["x"].data.copy_(torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(3)))
        islands.forward()
        assert net.blobs[top].shape == (2, 3, 5, 1)
        net.blobs[top].diff.copy_(torch.randn(2, 3, 5, 1, generator=torch.Generator().manual_seed(4)))
        islands.backward()
        diffs.append(net.blobs["x"].diff)
    assert diffs[0].shape == (2, 3, 5) and diffs[0].any()
    torch.testing.assert_close(diffs[0], diffs[1])


def test_reshape_follows_the_inputs() -> None:
    net = small(TEST)
    net.reshape({"data": (5, 3, 9, 7), "label": (5,)})
    assert net.blobs["pool"].shape == (5, 4, 4, 3) and net.blobs["fc"].shape == (5, 5)
    with pytest.raises(ShapeError, match="fc.1"):
        net.reshape({"data": (5, 3, 20, 7), "label": (5,)})


SHARED = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 3 dim: 6 }} }} }}
layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a" param {{ name: "w" {0} }}
  inner_product_param {{ num_output: 6 bias_term: false weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "b" type: "InnerProduct" bottom: "a" top: "b" param {{ name: "w" {1} }}
  inner_product_param {{ num_output: {2} bias_term: false weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "s" type: "Reduction" bottom: "b" top: "s" loss_weight: 1 }}
"""


def test_shared_parameters_are_one_blob_with_one_diff() -> None:
    net = Net(parse(SHARED.format("", "lr_mult: 3", 6)), TRAIN)
    assert [(x.layer.name, x.lr_mult) for x in net.learnable] == [("a", 3.0)]
    x = torch.randn(3, 6)
    net.run({"x": x}).loss.backward()
    w = net.learnable[0].tensor.detach().clone().requires_grad_()
    ((x @ w.T) @ w.T).sum().backward()
    torch.testing.assert_close(net.learnable[0].diff, w.grad)


SHARING = [
    ("another shape", "", "", 4, ShapeError, "cannot share param 'w' owned by layer 'a'"),
    ("another count, permissive", "", "share_mode: PERMISSIVE", 4, ShapeError, "has 36 values, blob 0 here .* has 24"),
    ("two learning rates", "lr_mult: 1", "lr_mult: 2", 6, CaffeError, "lr_mult 2 here and 1 in layer 'a'"),
    ("two decays", "decay_mult: 1", "decay_mult: 0", 6, CaffeError, "decay_mult 0 here and 1"),
]


@pytest.mark.parametrize(("a", "b", "num", "kind", "message"), [c[1:] for c in SHARING], ids=[c[0] for c in SHARING])
def test_what_cannot_be_shared(a: str, b: str, num: int, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Net(parse(SHARED.format(a, b, num)), TRAIN)


def test_permissive_sharing_by_count() -> None:
    prototxt = SHARED.format("", "share_mode: PERMISSIVE", 6).replace("num_output: 6", "num_output: 4", 1)
    net = Net(parse(prototxt), TRAIN)
    assert tuple(net.layer("a").weight.shape) == (4, 6) and tuple(net.layer("b").weight.shape) == (6, 4)
    with torch.no_grad():
        net.layer("a").weight.copy_(torch.arange(24.0).view(4, 6))
    assert net.layer("b").weight.flatten().tolist() == list(range(24))


def test_a_layer_of_shared_blobs_alone_is_not_left_and_hdf5_goes_by_its_content(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="HDF5 is an extra")
    net, path = Net(parse(SHARED.format("", "", 6)), TRAIN), tmp_path / "weights.caffemodel"
    hdf5.write_layers(path, net.layer_blobs(owned_only=True))
    summary = Net(parse(SHARED.format("", "", 6)), TRAIN).copy_from(path)
    assert (summary.copied, summary.left) == (["a"], [])


def test_copy_from_says_what_it_did_and_a_saved_file_reads_back(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "small.caffemodel"
    net.run(inputs())  # statistics move
    net.save(path)
    other = Net(parse(SMALL.replace('name: "branch"', 'name: "twig"')), TEST)
    summary = other.copy_from(path)
    assert (summary.only_in_file, summary.left) == (["branch"], ["twig"])
    assert summary.copied == ["conv", "bn", "scale", "fc.1"]
    assert "4 layers copied; 1 only in the file (branch); 1 left at their filler (twig)" in str(summary)
    again = small()
    again.copy_from(path)
    for a, b in zip(net.layer_blobs(), again.layer_blobs(), strict=True):
        for x, y in zip(a.blobs, b.blobs, strict=True):
            np.testing.assert_array_equal(x, y)


def test_weights_that_do_not_fit_copy_nothing(tmp_path: Path) -> None:
    path = tmp_path / "small.caffemodel"
    small().save(path)
    other = Net(parse(SMALL.replace("num_output: 5", "num_output: 6")), TEST)
    before = other.layer("conv").weight.clone()
    with pytest.raises(
        WeightsError, match=r"'fc.1' \(InnerProduct\): blob 0 is \(5, 48\) in .* but \(6, 48\) here; rename"
    ):
        other.copy_from(path)
    assert torch.equal(other.layer("conv").weight, before)
    fewer = Net(parse(SMALL.replace("num_output: 5", "num_output: 5 bias_term: false")), TEST)
    with pytest.raises(WeightsError, match="has 2 blobs for it, the net wants 1"):
        fewer.copy_from(path)


def test_missing_and_truncated_weights(tmp_path: Path) -> None:
    path = tmp_path / "small.caffemodel"
    small().save(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CaffeError, match="small.caffemodel"):
        small().copy_from(path)
    with pytest.raises(CaffeError, match="nowhere.caffemodel"):
        small().copy_from(tmp_path / "nowhere.caffemodel")


def test_a_test_net_shares_the_train_nets_blobs() -> None:
    train, test = small(TRAIN), small(TEST)
    assert test.share_from(train) == []
    train.run(inputs())
    assert test.layer("bn").scale_factor is train.layer("bn").scale_factor
    assert test.layer("conv").weight is train.layer("conv").weight


def test_seeded_nets_start_alike() -> None:
    for a, b in zip(small().learnable, small().learnable, strict=True):
        assert torch.equal(a.tensor, b.tensor)


def test_blobs_in_the_definition_take_the_fillers_place() -> None:
    param = parse(SMALL)
    fc = next(layer for layer in param.layer if layer.name == "fc.1")  # type: ignore[attr-defined]
    for shape in ((5, 48), (5,)):
        blob = fc.blobs.add()
        blob.shape.dim.extend(shape)
        blob.data.extend([0.5] * int(np.prod(shape)))
    assert Net(param, TEST).layer("fc.1").weight.unique().tolist() == [0.5]


def test_compiles_without_a_graph_break() -> None:
    """fullgraph=True raises at any break; the result is the eager one. BatchNorm's statistics move as well."""
    torch._dynamo.reset()
    eager, net = small(), small()
    compiled = torch.compile(lambda given: net.run(given).loss, fullgraph=True, backend="eager")
    loss = compiled(inputs())
    loss.backward()
    wanted = eager.run(inputs()).loss
    wanted.backward()
    torch.testing.assert_close(loss.detach(), wanted.detach())
    for mine, theirs in zip(eager.learnable, net.learnable, strict=True):
        torch.testing.assert_close(theirs.diff, mine.diff, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(theirs.tensor, mine.tensor)
