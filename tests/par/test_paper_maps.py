"""Weight maps: one ResNet-50 into every branch of the paper's networks; numbers kept, nothing lost unsaid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port import weight_map
from caffe_port.errors import WeightsError
from caffe_port.net import Net
from caffe_port.par import resnet
from caffe_port.par.builder import NetBuilder
from caffe_port.par.network import generate
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.binary import LayerBlobs

MAPS = Path(__file__).parents[2] / "weights/maps"
LETTERS = "abcdef"


def published(width: int, stem: int) -> Net:
    """ResNet-50 up to 4f as published, narrow, with a bias on conv1 and random blobs throughout."""
    net = NetBuilder("source")
    net.add("Input", "data", input_param={"shape": [{"dim": [2, 3, 64, 32]}]})
    net.conv("conv1", "data", stem, 7, pad=3, stride=2)
    how = resnet.Norm("published")
    resnet.norm(net, "conv1", how)
    net.relu("conv1")
    net.pool("pool1", "conv1", pool="MAX", kernel_size=3, stride=2)
    resnet.blocks(net, resnet.BLOCKS, "", "pool1", width, how)
    made = Net(net.param)
    random = np.random.default_rng(5)
    layers = made.layer_blobs()
    for layer in layers:
        layer.blobs = [random.uniform(0.5, 1.5, b.shape).astype(np.float32) for b in layer.blobs]
        if layer.type == "Convolution":
            layer.blobs = [(b - 1) * 0.3 for b in layer.blobs]
        if layer.type == "BatchNorm":
            layer.blobs[2][...] = 3.5
    made.copy_from(layers)
    return made


def target(variant: str, **knobs) -> Net:
    knobs = {"width": 4, "size": (64, 32), "deploy_batch": 2, "train_images": 8, "test_images": 8} | knobs
    source = generate("x", 3, 4, variant=variant, loss="original", **knobs)["deploy.prototxt"]
    return Net(text.parse(source, caffe_pb2.NetParameter).message)


def with_blobs(net: Net) -> list[str]:
    return [layer.name for layer in net.layer_blobs() if layer.blobs]


def values(net: Net, x: torch.Tensor, names: list[str]) -> list[torch.Tensor]:
    """The last version of each named blob."""
    ids = {value.name: value.id for node in net.graph.nodes for value in node.tops}
    with torch.no_grad():
        kept = net.run({"data": x}, keep=[ids[n] for n in names]).values
    return [kept[ids[n]] for n in names]


BRANCHES = [
    ("baseline", {}, ["res4f"]),
    ("baseline", {"bn_names": "published"}, ["res4f"]),
    ("multitask", {}, ["res4f_par", "res4f_seg"]),
    ("multitask", {"split_ab": "2a", "bn_names": "published"}, ["res4f_par", "res4f_seg"]),
]


@pytest.mark.parametrize(("variant", "knobs", "ends"), BRANCHES)
def test_every_branch_computes_what_the_source_does(variant, knobs, ends) -> None:
    source, net = published(4, 4), target(variant, **knobs)
    mapped = weight_map.apply(MAPS / "resnet50_to_hmt.yaml", source.layer_blobs(), with_blobs(net))
    net.copy_from(mapped.layers)
    x = torch.randn(2, 3, 64, 32)
    (wanted,) = values(source, x, ["res4f"])
    for end in values(net, x, ends):
        torch.testing.assert_close(end, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))
    assert not mapped.unused and not mapped.left_out
    assert all(name.startswith(("par2_", "seg2_")) for name in mapped.unfilled)


def test_two_stages_get_every_block_they_copy() -> None:
    source, net = published(4, 4), target("mtms_att")
    mapped = weight_map.apply(MAPS / "resnet50_to_hmt.yaml", source.layer_blobs(), with_blobs(net))
    made = {layer.name: layer.blobs for layer in mapped.layers}
    for branch in ("par", "seg", "main"):
        wanted = source.layer("res3d_branch2b").weight.detach()
        np.testing.assert_array_equal(made[f"res3d_{branch}_branch2b"][0], wanted)
    assert set(mapped.unfilled) == {n for n in with_blobs(net) if n.startswith(("par", "seg", "att"))}
    assert "keep their filler" in str(mapped)


def test_thin_names_reach_the_same_layers() -> None:
    """The thin network's names, put on the published layers, lead where the published names lead."""
    source, net = published(2, 4), target("multitask", width=2, stem=4)
    thin = []
    for layer in source.layer_blobs():
        kind = {"Convolution": "conv", "BatchNorm": "bn", "Scale": "scale"}.get(layer.type)
        if not kind:
            continue
        name = f"{kind}_1"
        if "conv1" not in layer.name:
            block, _, part = layer.name.removeprefix("res").removeprefix("bn").removeprefix("scale").partition("_")
            part = part.replace("branch1", "proj_shortcut")
            name = f"{kind}_stage{int(block[0]) - 2}_block{LETTERS.index(block[1])}_{part}"
        blobs = list(layer.blobs)
        if kind == "conv" and len(blobs) == 1:
            blobs.append(np.zeros(len(blobs[0]), np.float32))
        thin.append(LayerBlobs(name, layer.type, blobs))
    straight = weight_map.apply(MAPS / "resnet50_to_hmt.yaml", source.layer_blobs(), with_blobs(net))
    by_thin = weight_map.apply(MAPS / "resnet50_thin_to_hmt.yaml", thin, with_blobs(net))
    assert not by_thin.unused
    wanted = {layer.name: layer.blobs for layer in straight.layers}
    assert {layer.name for layer in by_thin.layers} == set(wanted)
    for layer in by_thin.layers:
        for ours, theirs in zip(layer.blobs, wanted[layer.name], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_what_is_not_used_is_said() -> None:
    one = [np.ones((1, 1, 1, 1), np.float32)]
    layers = [LayerBlobs("fc1000", "InnerProduct", one), LayerBlobs("res5a_branch1", "Convolution", one)]
    layers += [LayerBlobs("mystery", "Convolution", one), LayerBlobs("prob", "Softmax")]
    mapped = weight_map.apply(MAPS / "resnet50_to_hmt.yaml", layers, ["conv1"])
    assert (mapped.unused, mapped.left_out, mapped.unfilled) == (["mystery"], ["fc1000", "res5a_branch1"], ["conv1"])
    assert "1 unused: mystery" in str(mapped)


def test_a_branch_goes_back_to_where_it_came_from() -> None:
    source, net = published(4, 4), target("multitask", bn_names="published")
    there = weight_map.read(MAPS / "resnet50_to_hmt.yaml")
    copies = weight_map.apply(there, source.layer_blobs(), with_blobs(net)).layers
    back = weight_map.apply(there.reversed(), copies, with_blobs(source))
    given = {layer.name: layer.blobs for layer in source.layer_blobs()}
    assert not back.unused and not back.unfilled and len(back.layers) == len(with_blobs(source))
    for layer in back.layers:
        if layer.name not in ("conv1", "bn_conv1"):  # the bias went into the mean
            np.testing.assert_array_equal(layer.blobs[0], given[layer.name][0])
    copies[-1].blobs = [blob + 1 for blob in copies[-1].blobs]
    with pytest.raises(WeightsError, match="both '.*' and '.*' go to 'res4f|both '.*' go to '"):
        weight_map.apply(there.reversed(), copies, with_blobs(source))
