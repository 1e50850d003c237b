"""DummyData: shapes and fillers, once or a top; constants filled once, random tops anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_port.errors import CaffeError
from caffe_port.islands import Islands
from caffe_port.layers import Layer
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from tests.layers.data_layer import check_golden, golden_cases, make, tops


def dummy(body: str, names: str = 'top: "a" top: "b"', seed: int = 3) -> Layer:
    return make(f'type: "DummyData" {names} dummy_data_param {{ {body} }}', seed=seed)


@pytest.mark.parametrize("path", golden_cases("DummyData"), ids=lambda p: p.stem)
def test_as_caffe(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_golden(path, monkeypatch)


@pytest.mark.parametrize(("body", "shapes"), [
    ("shape { dim: 2 dim: 3 }", [(2, 3), (2, 3)]),
    ("shape { dim: 2 } shape { dim: 3 dim: 1 dim: 4 dim: 5 dim: 6 }", [(2,), (3, 1, 4, 5, 6)]),
    ("shape {}", [(), ()]),
    ("num: 2 channels: 3 height: 4 width: 5", [(2, 3, 4, 5)] * 2),
    ("num: 2 num: 7 channels: 3 height: 4 height: 6 width: 5", [(2, 3, 4, 5), (7, 3, 6, 5)]),
])
def test_shapes(body: str, shapes: list[tuple[int, ...]]) -> None:
    layer = dummy(body)
    assert layer.top_shapes([]) == shapes
    assert [t.shape for t in tops(layer)] == shapes
    assert not any(t.any() for t in tops(layer))


def test_refill() -> None:
    """Random tops change with each forward; constant ones are one tensor for ever; seeds repeat."""
    body = 'shape { dim: 40 } data_filler { type: "gaussian" mean: 5 } data_filler { value: 7 }'
    layer = dummy(body)
    assert layer.refill == [True, False]
    first, second = tops(layer), tops(layer)
    assert not np.array_equal(first[0], second[0])
    assert abs(first[0].mean() - 5) < 1
    assert first[1].tolist() == [7] * 40
    assert layer()[1] is layer()[1]
    np.testing.assert_array_equal(tops(dummy(body))[0], first[0])


def test_one_filler_for_all_draws_for_each() -> None:
    a, b = tops(dummy('shape { dim: 9 } data_filler { type: "uniform" }'))
    assert not np.array_equal(a, b)


@pytest.mark.parametrize(("body", "message"), [
    ("", "give shape once, or once for each of the 2 tops; it is given 0 times"),
    ("shape {} shape {} shape {}", "give shape once, or once for each of the 2 tops; it is given 3 times"),
    ("num: 2", "give channels once, or once for each of the 2 tops; it is given 0 times"),
    ("num: 1 num: 1 num: 1 channels: 1 height: 1 width: 1", "give num once"),
    ("num: 1 channels: 1 height: 1 width: 1 shape {}", "shape and the legacy num, channels, height, width exclude"),
    ("shape {} data_filler {} data_filler {} data_filler {}", "give data_filler once, .*; it is given 3 times"),
    ('shape {} data_filler { type: "gausian" }', "top 'a': unknown filler type 'gausian'"),
])
def test_bad_definition(body: str, message: str) -> None:
    with pytest.raises(CaffeError, match=rf"^layer 'd' \(DummyData\): {message}"):
        dummy(body)()


def test_blobs_of_constants_alone_are_filled_before_the_first_forward() -> None:
    body = 'shape { dim: 4 } data_filler { type: "uniform" min: 1 max: 2 } data_filler { value: 7 }'
    definition = f'layer {{ type: "DummyData" top: "a" top: "b" dummy_data_param {{ {body} }} }}'
    net = Net(text.parse(definition, caffe_pb2.NetParameter).message)
    driver = Islands(net)
    assert (net.blobs["a"].data.tolist(), net.blobs["b"].data.tolist()) == ([0] * 4, [7] * 4)
    driver.forward()
    assert net.blobs["a"].data.min() >= 1
