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
from caffe_port.par.parsing import network as parsing
from caffe_port.par.start_weights import start
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


THIN_BLOCKS = {0: 3, 1: 4, 2: 6, 3: 3}


def test_thin_names_fill_a_parser() -> None:
    """Every block of the thin network has its place in a parser of as many blocks."""
    knobs = {"blocks": (3, 4, 6, 3), "width": 2, "stem": 4, "size": (32, 16), "train_images": 2, "test_images": 2}
    net = Net(text.parse(parsing.generate(**knobs)["deploy.prototxt"], caffe_pb2.NetParameter).message)
    shapes = {layer.name: [b.shape for b in layer.blobs] for layer in net.layer_blobs() if layer.blobs}
    names = ["1"]
    for stage, count in THIN_BLOCKS.items():
        for block in range(count):
            parts = ["branch2a", "branch2b", "branch2c", *(["proj_shortcut"] if block == 0 else [])]
            names += [f"stage{stage}_block{block}_{part}" for part in parts]
    small = [np.ones(1, np.float32)]
    thin = [LayerBlobs(f"{kind}_{name}", "", small) for name in names for kind in ("conv", "bn", "scale")]
    mapped = weight_map.apply(MAPS / "resnet50_thin_to_parser.yaml", thin, shapes)
    assert not mapped.unused and all(name.startswith("seg") for name in mapped.unfilled)


def torchvision(width: int) -> torch.nn.ModuleDict:
    """Layers 1 to 3 under the names of torchvision's ResNet-50, with random weights and statistics."""

    def norm(channels: int) -> torch.nn.BatchNorm2d:
        made = torch.nn.BatchNorm2d(channels)
        for tensor in (made.weight, made.bias, made.running_mean, made.running_var):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
        return made

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> torch.nn.Conv2d:
        return torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def bottleneck(inputs: int, inner: int, stride: int) -> torch.nn.ModuleDict:
        made = {"conv1": conv(inputs, inner, 1), "bn1": norm(inner), "conv2": conv(inner, inner, 3, stride),
                "bn2": norm(inner), "conv3": conv(inner, 4 * inner, 1), "bn3": norm(4 * inner)}  # fmt: skip
        if stride > 1 or inputs != 4 * inner:
            made["downsample"] = torch.nn.Sequential(conv(inputs, 4 * inner, 1, stride), norm(4 * inner))
        return torch.nn.ModuleDict(made)

    stages, inputs = {}, width
    for stage, count in enumerate((3, 4, 6), 1):
        inner = width * 2 ** (stage - 1)
        blocks = [bottleneck(inputs if i == 0 else 4 * inner, inner, 1 + (i == 0 and stage > 1)) for i in range(count)]
        stages[f"layer{stage}"], inputs = torch.nn.Sequential(*blocks), 4 * inner
    more = {"layer4": torch.nn.Sequential(bottleneck(inputs, width, 2)), "fc": torch.nn.Linear(4 * width, 10)}
    return torch.nn.ModuleDict({"conv1": conv(3, width, 7, 2), "bn1": norm(width), **stages, **more}).eval()


def torchvision_forward(net: torch.nn.ModuleDict, image: torch.Tensor) -> torch.Tensor:
    """What layer3 gives for red, green, blue of 0..255, as torchvision computes it, but for Caffe's first pooling."""
    mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = net["bn1"](net["conv1"]((image / 255 - mean) / deviation)).relu()
    x = torch.nn.functional.max_pool2d(x, 3, 2, ceil_mode=True)
    for stage in ("layer1", "layer2", "layer3"):
        for block in net[stage]:
            y = block["bn1"](block["conv1"](x)).relu()
            y = block["bn3"](block["conv3"](block["bn2"](block["conv2"](y)).relu()))
            x = (y + (block["downsample"](x) if "downsample" in block else x)).relu()
    return x


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvisions_file_computes_what_it_did(tmp_path, suffix) -> None:
    torch.manual_seed(0)
    source, net = torchvision(4), target("multitask", strided="branch2b")
    path = tmp_path / f"resnet50{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        pytest.importorskip("safetensors.torch").save_file(source.state_dict(), path)
    rules = MAPS / "torchvision_resnet50_to_hmt.yaml"
    definition = tmp_path / "net.prototxt"
    definition.write_text(text.format(net.definition))
    net.copy_from(start([str(path)], rules, definition, tmp_path))
    kept = (tmp_path / "start.txt").read_text().split("keep their filler: ")[1]
    assert "unused" not in kept and all(n.startswith(("par2_", "seg2_")) for n in kept.strip().split(", "))
    image = torch.rand(2, 3, 64, 32) * 255
    with torch.no_grad():
        wanted = torchvision_forward(source, image)
    bgr = image.flip(1) - torch.tensor(weight_map.read(rules).adapted_picture.mean).reshape(1, 3, 1, 1)
    for end in values(net, bgr, ["res4f_par", "res4f_seg"]):
        torch.testing.assert_close(end, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


def test_torchvisions_strides_elsewhere_are_refused(tmp_path) -> None:
    """Every shape fits, so that nothing else would tell."""
    path, definition = tmp_path / "resnet50.pth", tmp_path / "net.prototxt"
    torch.save(torchvision(4).state_dict(), path)
    definition.write_text(text.format(target("multitask").definition))
    with pytest.raises(WeightsError, match="must have .*stride: 1.*res3a_par_branch2a.*make the networks with strided"):
        start([str(path)], MAPS / "torchvision_resnet50_to_hmt.yaml", definition, tmp_path)
    assert not (tmp_path / "start.caffemodel").exists()


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
