"""Architectures that people have in PyTorch, narrow, as plain `nn.Module`s in the way that torchvision's are built."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(inside: int, outside: int, k: int = 3, s: int = 1, groups: int = 1, act: type | None = nn.ReLU):
    parts = [nn.Conv2d(inside, outside, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm2d(outside)]
    return nn.Sequential(*parts, *([act(inplace=True)] if act else []))


class Bottleneck(nn.Module):
    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = conv_bn(inside, 4 * width, 1, stride, act=None) if stride > 1 or inside != 4 * width else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Bottleneck(8, 4, 1), Bottleneck(16, 4, 1))
        self.layer2 = nn.Sequential(Bottleneck(16, 6, 2), Bottleneck(24, 6, 1))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


class VGG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in ((3, 8), (8, 8), (8, 12)):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2)]
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((4, 4))
        head = [nn.Linear(12 * 16, 20), nn.ReLU(True), nn.Dropout(), nn.Linear(20, 10)]
        self.classifier = nn.Sequential(*head)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.view(x.size(0), -1))


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 7, 2)
        norms = [(nn.BatchNorm2d(8 + 4 * i), nn.Conv2d(8 + 4 * i, 4, 3, padding=1, bias=False)) for i in range(3)]
        self.norms, self.convs = (nn.ModuleList(part) for part in zip(*norms, strict=True))
        self.transition = nn.Sequential(nn.BatchNorm2d(20), nn.ReLU(inplace=True), nn.Conv2d(20, 10, 1, bias=False))
        self.pool, self.norm, self.classifier = nn.AvgPool2d(2, 2), nn.BatchNorm2d(10), nn.Linear(10, 7)

    def forward(self, x: Tensor) -> Tensor:
        features = [F.max_pool2d(self.stem(x), 3, 2, 1)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)), inplace=True)))
        x = F.relu(self.norm(self.pool(self.transition(torch.cat(features, 1)))))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class InvertedResidual(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inside * expand
        parts = [conv_bn(inside, wide, 1, act=nn.ReLU6), conv_bn(wide, wide, 3, stride, wide, nn.ReLU6)]
        self.conv = nn.Sequential(*parts, nn.Conv2d(wide, outside, 1, bias=False), nn.BatchNorm2d(outside))
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks = [InvertedResidual(8, 6, 1, 1), InvertedResidual(6, 8, 2, 3), InvertedResidual(8, 8, 1, 3)]
        self.features = nn.Sequential(conv_bn(3, 8, 3, 2, act=nn.ReLU6), *blocks, conv_bn(8, 20, 1, act=nn.ReLU6))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(20, 9))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class SqueezeExcite(nn.Module):
    """A block of MobileNetV3: depthwise, a gate from the global mean, hard swish."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 3, 2, act=nn.Hardswish)
        self.fc1, self.fc2 = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head, self.act = nn.Conv2d(8, 6, 1), nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))
        a, b = self.act(self.head(gate * x)).chunk(2, dim=1)
        return torch.sigmoid(a * 2 - b)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, inside: int, act: type, gate: type) -> None:
        super().__init__()
        self.avgpool, self.fc1 = nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inside, 1)
        self.fc2 = nn.Conv2d(inside, channels, 1)
        self.activation, self.scale_activation = act(), gate()

    def forward(self, x: Tensor) -> Tensor:
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


class MobileNetV3(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        swish = nn.Hardswish
        block = [conv_bn(6, 12, 1, act=swish), conv_bn(12, 12, 5, 2, 12, swish), Gate(12, 4, nn.ReLU, nn.Hardsigmoid)]
        self.features = nn.Sequential(conv_bn(3, 6, 3, 2, act=swish), *block, conv_bn(12, 6, 1, act=None))
        self.last, self.avgpool = conv_bn(6, 16, 1, act=swish), nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(16, 18), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(18, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.last(self.features(x))), 1))


class EfficientNet(nn.Module):
    """MBConv blocks; stochastic depth is the identity outside training."""

    def __init__(self) -> None:
        super().__init__()
        block = [conv_bn(6, 12, 1, act=nn.SiLU), conv_bn(12, 12, 5, 1, 12, nn.SiLU), Gate(12, 2, nn.SiLU, nn.Sigmoid)]
        self.stem, self.block = conv_bn(3, 6, 3, 2, act=nn.SiLU), nn.Sequential(*block, conv_bn(12, 6, 1, act=None))
        self.head, self.classifier = conv_bn(6, 14, 1, act=nn.SiLU), nn.Sequential(nn.Dropout(0.2), nn.Linear(14, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.block(x) + x
        return self.classifier(F.adaptive_avg_pool2d(self.head(x), 1).flatten(1))


class Inception(nn.Module):
    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch1 = conv_bn(inside, 4, 1)
        self.branch2 = nn.Sequential(conv_bn(inside, 3, 1), conv_bn(3, 6, 3))
        self.branch3 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv_bn(inside, 5, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x)], 1)


class GoogLeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.maxpool1 = conv_bn(3, 8, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm, self.inception3a, self.inception3b = nn.LocalResponseNorm(5, k=2.0), Inception(8), Inception(15)
        self.maxpool2, self.dropout, self.fc = nn.MaxPool2d(2, 2, ceil_mode=True), nn.Dropout(0.4), nn.Linear(15, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inception3b(self.inception3a(self.norm(self.maxpool1(self.conv1(x)))))
        x = F.adaptive_avg_pool2d(self.maxpool2(x), (1, 1))
        return self.fc(self.dropout(torch.flatten(x, 1)))


class Fire(nn.Module):
    def __init__(self, inside: int) -> None:
        super().__init__()
        self.squeeze, self.expand1x1 = nn.Conv2d(inside, 4, 1), nn.Conv2d(4, 6, 1)
        self.expand3x3, self.act = nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.squeeze(x))
        return torch.cat([self.act(self.expand1x1(x)), self.act(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        parts = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(8), Fire(12)]
        self.features = nn.Sequential(*parts, nn.MaxPool2d(3, 2))
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(12, 10, 1), nn.ReLU(True), nn.AdaptiveAvgPool2d((1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


ARCHITECTURES: dict[str, type[nn.Module]] = {
    net.__name__: net for net in (
        ResNet, VGG, DenseNet, MobileNetV2, SqueezeExcite, MobileNetV3, EfficientNet, GoogLeNet, SqueezeNet,
    )
}  # fmt: skip


def drawn(architecture: type[nn.Module], seed: int = 0) -> nn.Module:
    """The net in eval mode, its running statistics drawn too."""
    torch.manual_seed(seed)
    net = architecture()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return net.eval()
