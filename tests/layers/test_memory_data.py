"""MemoryData: batches of given arrays, in order, for ever; and arrays that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError, LayerError
from caffe_port.layers import Layer
from tests.layers.data_layer import make, tops

SIZES = "batch_size: 2 channels: 3 height: 4 width: 5"
DATA = np.random.default_rng(0).normal(size=(6, 3, 4, 5)).astype(np.float32)


def memory(sizes: str = SIZES) -> Layer:
    return make(f'type: "MemoryData" top: "data" top: "label" memory_data_param {{ {sizes} }}')


@pytest.mark.parametrize("labels", [
    np.arange(6), np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1), torch.arange(6), list(range(6)),
])
def test_batches(labels: Any) -> None:
    layer = memory()
    assert layer.top_shapes([]) == [(2, 3, 4, 5), (2,)]
    layer.reset(DATA, labels)
    for start in (0, 2, 4, 0):
        data, label = tops(layer)
        np.testing.assert_array_equal(data, DATA[start : start + 2])
        assert label.dtype == np.float32
        assert label.tolist() == [start, start + 1]


def test_reset_starts_again() -> None:
    layer = memory()
    layer.reset(torch.from_numpy(DATA), np.arange(6))
    tops(layer)
    layer.reset(DATA[2:].astype(np.float64), np.arange(4) + 10)
    assert tops(layer)[1].tolist() == [10, 11]


@pytest.mark.parametrize(("data", "labels", "message"), [
    (DATA[:5], np.arange(5), "5 arrays are no multiple of batch_size 2"),
    (DATA[:0], np.arange(0), "0 arrays are no multiple"),
    (DATA, np.arange(5), "there are 6 arrays and 5 labels"),
    (DATA[:, :2], np.arange(6), r"data must be \(n, 3, 4, 5\), not \(6, 2, 4, 5\)"),
    (DATA[:, 0], np.arange(6), r"data must be \(n, 3, 4, 5\), not \(6, 4, 5\)"),
])
def test_bad_arrays(data: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(LayerError, match=rf"layer 'd' \(MemoryData\): {message}"):
        memory().reset(data, labels)


def test_forward_before_reset() -> None:
    with pytest.raises(CaffeError, match=r"it has no data yet; call reset\(data, labels\)"):
        memory()()


@pytest.mark.parametrize("left_out", ["batch_size: 2", "channels: 3", "height: 4", "width: 5"])
def test_all_sizes_are_needed(left_out: str) -> None:
    with pytest.raises(CaffeError, match="memory_data_param needs batch_size, channels, height and width"):
        memory(SIZES.replace(left_out, ""))
