"""Foreign names: torchvision's ResNets as plain modules, narrow, into Caffe's and back: every name, and the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import converters
from caffe_port import weight_map
from caffe_port.errors import CaffeError, ConvertError, WeightsError
from caffe_port.net import Net
from caffe_port.par import resnet
from caffe_port.par.builder import NetBuilder
from converters import torch_names
from tests.converters import nets

MAPS = Path(__file__).parents[2] / "weights/maps"
WIDTH, CLASSES = 2, 7
DEPTHS = {"torchvision_resnet50": (3, 4, 6, 3), "torchvision_resnet101": (3, 4, 23, 3)}
CASES = [("torchvision_resnet50", False), ("torchvision_resnet50", True), ("torchvision_resnet101", True)]


class Bottleneck(nn.Module):
    """`stride_on`: 2 as torchvision (the 3x3), 1 as Caffe's (the 1x1 before it)."""

    def __init__(self, inside: int, width: int, stride: int, stride_on: int) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_on == 1 else (1, stride)
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, first, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, second, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        shortcut = [nn.Conv2d(inside, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)]
        self.downsample = nn.Sequential(*shortcut) if stride > 1 or inside != 4 * width else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.bn3(self.conv3(out)) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """With the names of torchvision's; `as_caffe`: the strides and the first pooling of Caffe's."""

    def __init__(self, depths: tuple[int, ...], as_caffe: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False), nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True) if as_caffe else nn.MaxPool2d(3, 2, 1)
        inside = WIDTH
        for stage, depth in enumerate(depths):
            width, blocks = WIDTH * 2**stage, []
            for i in range(depth):
                blocks.append(Bottleneck(inside, width, 2 if stage and not i else 1, 1 if as_caffe else 2))
                inside = 4 * width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inside, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean((2, 3)))


def torch_net(name: str, as_caffe: bool = False) -> ResNet:
    torch.manual_seed(3)
    net = ResNet(DEPTHS[name], as_caffe)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.3, 1)
            nn.init.normal_(module.bias, std=0.2)
    return net.eval()


def caffe_net(name: str) -> Any:
    """The definition under the published names; conv1 has a bias in ResNet-50's."""
    net, how = NetBuilder(name), resnet.Norm("published")
    net.add("Input", "data", input_param={"shape": [{"dim": [2, 3, 64, 96]}]})
    net.conv("conv1", "data", WIDTH, 7, pad=3, stride=2, bias_term=name.endswith("50"))
    resnet.norm(net, "conv1", how)
    net.relu("conv1")
    top = net.pool("pool1", "conv1", pool="MAX", kernel_size=3, stride=2)
    numbered = name.endswith("101")
    for stage, depth in enumerate(DEPTHS[name], 2):
        later = [f"b{i}" if numbered and stage in (3, 4) else "bcdef"[i - 1] for i in range(1, depth)]
        top = resnet.blocks(net, [f"{stage}{block}" for block in ("a", *later)], "", top, WIDTH, how)
    net.pool("pool5", top, pool="AVE", global_pooling=True)
    net.add("InnerProduct", "fc1000", ["pool5"], inner_product_param={"num_output": CLASSES})
    return net.param


def as_bgr(pixels: Tensor, mean: list[float]) -> Tensor:
    return pixels.flip(1) - torch.tensor(mean[::-1]).reshape(1, 3, 1, 1)


MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.mark.parametrize(("name", "adapt"), CASES)
def test_torchvision_to_caffe(name: str, adapt: bool, tmp_path: Path) -> None:
    module = torch_net(name)
    torch.save(module.state_dict(), tmp_path / "x.pth")
    report = converters.convert(
        tmp_path / "x.pth", tmp_path / "x.caffemodel", model=caffe_net(name), names=MAPS / f"{name}.yaml",
        adapt_input=adapt,
    )  # fmt: skip
    said = "\n".join(report.notes)
    assert "stride: 2 } in res3a_branch2b, res4a_branch2b, res5a_branch2b" in said and "in pool1" in said
    assert "BGR, pixels from 0 to 255 - (103.53, 116.28, 123.675)" in said
    pixels = 255 * torch.rand(2, 3, 64, 96)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    normal = (pixels - mean) / std
    net = Net(converters.read(tmp_path / "x.prototxt").net)
    net.copy_from(str(tmp_path / "x.caffemodel"))
    with torch.no_grad():
        made = net(data=as_bgr(pixels, MEAN) if adapt else normal)["fc1000"]
        wanted = module(normal)
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize(("name", "adapt"), CASES)
def test_caffe_to_torchvision(name: str, adapt: bool, tmp_path: Path) -> None:
    net = caffe_net(name)
    state = torch_names.layers_of({k: v.numpy() for k, v in torch_net(name).state_dict().items()})
    rules = weight_map.read(MAPS / f"{name}.yaml")
    wanted = {layer.name: len(layer.blobs) for layer in Net(net).layer_blobs() if layer.blobs}
    layers = weight_map.apply(rules, state, wanted).layers  # weights that the definition does not change with
    for layer in layers:
        if layer.name == "conv1" and len(layer.blobs) == 2:
            layer.blobs[1] = np.float32([0.3, -0.2])
        if layer.type == "BatchNorm":
            layer.blobs = [layer.blobs[0] * 4, layer.blobs[1] * 4, np.float32([4])]
    source = converters.Model(net, layers)
    report = converters.write(source, tmp_path / "x.pth", names=rules.reversed(), adapt_input=adapt)
    assert any("on the first 1x1" in note for note in report.notes) and "bit for bit" in report.check
    module = torch_net(name, as_caffe=True)
    module.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True))
    pixels = 255 * torch.rand(2, 3, 64, 96)
    bgr = as_bgr(pixels, [123.68, 116.779, 103.939])
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([123.68, 116.779, 103.939], STD))
    rgb = (pixels - mean) / std
    with torch.no_grad():
        made, wanted_ = module(rgb if adapt else bgr), source.runtime()(data=bgr)["fc1000"]
    torch.testing.assert_close(made, wanted_, rtol=0, atol=1e-4 * float(wanted_.abs().max()))


@pytest.mark.parametrize(
    ("name", "extension"), [("torchvision_resnet50", "pt"), ("torchvision_resnet101", "safetensors")]
)
def test_there_and_back_is_the_same_state_dict(name: str, extension: str, tmp_path: Path) -> None:
    state = torch_net(name).state_dict()
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "x.pth")  # as DataParallel calls them
    rules = MAPS / f"{name}.yaml"
    converters.convert(tmp_path / "x.pth", tmp_path / "x.caffemodel", model=caffe_net(name), names=rules)
    converters.convert(tmp_path / "x.caffemodel", tmp_path / f"y.{extension}", names=rules)
    again = converters.hub.format_of(f"y.{extension}", "read").read_state(tmp_path / f"y.{extension}")
    assert set(again) == set(state)
    for key, tensor in state.items():
        assert np.array_equal(again[key], tensor.numpy()), key


def test_the_map_names_its_net(tmp_path: Path) -> None:
    """Full size, so only the shapes: every tensor of torchvision's file has its place in prototxt/classic/resnet50."""
    rules = weight_map.read(MAPS / "torchvision_resnet50.yaml")
    assert rules.prototxt is not None
    net = converters.read(rules.prototxt).net
    with torch.device("meta"):
        layers = [layer for layer in Net(net).layers if layer.present_blobs]
    assert {layer.name for layer in layers} == {pair.target for pair in rules.pairs}


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    name = "torchvision_resnet50"
    state, rules = torch_net(name).state_dict(), MAPS / f"{name}.yaml"
    torch.save({k: v for k, v in state.items() if not k.startswith("layer2.1.conv2")}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="nothing for res3b_branch2b of Caffe's ResNet-50"):
        converters.read(tmp_path / "x.pth", caffe_net(name), names=rules)
    torch.save(state | {"layer9.rho": torch.zeros(3)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"no module that is known here: layer9.rho"):
        converters.read(tmp_path / "x.pth", caffe_net(name), names=rules)
    converters.write(nets.model(nets.SHARED), tmp_path / "c.caffemodel")
    with pytest.raises(WeightsError, match="has no name for left, right"):
        converters.convert(tmp_path / "c.caffemodel", tmp_path / "c.pth", names=rules)
    with pytest.raises(ConvertError, match=r"takes a state dict of torchvision's ResNet-50: .pt"):
        converters.convert(tmp_path / "c.caffemodel", tmp_path / "c.onnx", names=rules)
    with pytest.raises(ConvertError, match="names no net for Caffe's ResNet-101"):
        converters.read(tmp_path / "x.pth", names=MAPS / "torchvision_resnet101.yaml")
    assert not (tmp_path / "c.pth").exists() and issubclass(WeightsError, CaffeError)


def test_only_a_state_dict_takes_foreign_names(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"x.onnx: weights under names of the target go into a .pt"):
        converters.write(nets.model(nets.CLASSIC), tmp_path / "x.onnx", names=weight_map.parse({"rules": []}))
