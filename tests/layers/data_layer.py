"""For the tests of data layers: a layer by its text, and its tops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe_port.layers import REGISTRY, Layer
from caffe_port.layers.base import TEST, TRAIN
from caffe_port.proto import caffe_pb2, text

GOLDEN = Path(__file__).parents[1] / "golden"


def make(definition: str, phase: int = TEST, seed: int = 3) -> Layer:
    """The layer that is written so (without `layer { name }`), set up and seeded."""
    source = f'layer {{ name: "d" {definition} }}'
    param = text.parse(source, caffe_pb2.NetParameter).message.layer[0]
    torch.manual_seed(seed)
    layer = REGISTRY[param.type](param, phase)
    layer.setup([])
    return layer


def tops(layer: Layer) -> list[np.ndarray]:
    """One forward."""
    out = layer()
    return [t.numpy() for t in (out if isinstance(out, tuple) else (out,))]


def labels(layer: Layer, batches: int) -> list[int]:
    """The labels of so many forwards, one after the other."""
    return [int(v) for _ in range(batches) for v in tops(layer)[1].ravel()]


def check_state(text: str, before: int, behind: int) -> None:
    """A layer of another seed goes on from the state as the first does, number for number."""
    layer, other = make(text, TRAIN), make(text, TRAIN, seed=77)
    for _ in range(before):
        tops(layer)
    state = layer.state()
    want = [tops(layer) for _ in range(behind)]
    other.restore(state)
    for batch in want:
        for a, b in zip(batch, tops(other), strict=True):
            np.testing.assert_array_equal(a, b)


def golden_cases(type_name: str) -> list[Path]:
    """What a genuine Caffe answered for layers of this type."""
    folders = [GOLDEN / "data", GOLDEN / "data_more"]
    return [p for folder in folders for p in sorted(folder.glob("*.npz")) if f'type: "{type_name}"' in definition(p)]


def definition(path: Path) -> str:
    prototxt = path.with_suffix(".prototxt")
    return prototxt.read_text() if prototxt.exists() else str(np.load(path)["prototxt"])


def answer(golden: Mapping[str, np.ndarray], top: str, i: int) -> Any:
    """The top of the i-th forward, stored by itself or all forwards in one; None behind the last."""
    if top in golden:
        return golden[top][i] if i < len(golden[top]) else None
    return golden.get(f"{top}.{i}")


def check_golden(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shape rule, and the tops of every forward, number for number."""
    monkeypatch.chdir(path.parent)
    golden = np.load(path)
    param = text.parse(definition(path), caffe_pb2.NetParameter).message.layer[0]
    layer = REGISTRY[param.type](param, TEST)
    layer.setup([])
    shapes = layer.top_shapes([])
    assert answer(golden, param.top[0], 0) is not None, f"{path}: no answer for top {param.top[0]}"
    for i in range(9):
        want = [answer(golden, name, i) for name in param.top]
        if want[0] is None:
            break
        if i == 0:
            assert shapes == [w.shape for w in want]
        for name, got, wanted in zip(param.top, tops(layer), want, strict=True):
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, wanted, err_msg=f"{path.name}: {name}, forward {i}")
    if hasattr(layer, "close"):
        layer.close()
