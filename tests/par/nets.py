"""Tiny prepared data and trained-looking networks for the tests of what uses them."""

from __future__ import annotations

from pathlib import Path

import torch

from caffe_port.net import Net
from caffe_port.par.datasets.drawn import Drawn
from caffe_port.par.network import generate
from caffe_port.par.parsing import network as parsing
from caffe_port.par.prepare import prepare
from caffe_port.proto import load

SIZE = (32, 16)


def data(folder: Path, train: int = 6, test: int = 5) -> Path:
    """Drawn pedestrians; their rates are kept off 0 and 1, which so few pictures have and no weighted loss can take."""
    prepare(Drawn(train=train, test=test, size=SIZE), folder, size=SIZE)
    path = folder / "positive_rates.txt"
    rates = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(f"{name},{min(max(float(rate), 0.1), 0.9)}\n" for name, rate in rates))
    return folder


def weights(deploy: Path, target: Path, seed: int = 0) -> Path:
    """Random weights with variances of 1, as after a training (they start at 0)."""
    torch.manual_seed(seed)
    net = Net(load.read_net(deploy))
    for layer in net.layers:
        if type(layer).__name__ == "BatchNorm":
            for blob in layer.blobs[1:]:
                blob.fill_(1)
    net.save(target)
    return target


def parser(folder: Path, prepared: Path, **knobs) -> tuple[Path, Path]:
    """A parser's folder of prototxts, and weights for it."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"blocks": (1, 1, 1, 1), "width": 2, "size": SIZE, "aspp": (), "dataset": "drawn", "data": str(prepared),
                "train_images": 6, "test_images": 5, "batch": 2, "folder": str(folder), **knobs}  # fmt: skip
    for name, text in parsing.generate(**settings).items():
        (folder / name).write_text(text)
    return folder, weights(folder / "deploy.prototxt", folder / "start.caffemodel")


def network(folder: Path, prepared: Path, **knobs) -> tuple[Path, Path]:
    """A network of the paper and weights for it."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"classes": 20, "width": 2, "size": SIZE, "data": str(prepared), "train_images": 6, "test_images": 5,
                "mean": (100.0, 110.0, 120.0), "scale": 0.02, **knobs}  # fmt: skip
    for name, text in generate("drawn", 30, **settings).items():
        (folder / name).write_text(text)
    return folder, weights(folder / "deploy.prototxt", folder / "start.caffemodel")
