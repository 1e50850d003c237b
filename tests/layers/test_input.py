"""Input: shapes for its tops, and nothing of its own."""

from __future__ import annotations

import pytest

from caffe_port.errors import CaffeError
from caffe_port.layers import Layer
from tests.layers.data_layer import make


def inputs(body: str, names: str = 'top: "a" top: "b"') -> Layer:
    return make(f'type: "Input" {names} input_param {{ {body} }}')


@pytest.mark.parametrize(("body", "shapes"), [
    ("shape { dim: 2 dim: 3 }", [(2, 3), (2, 3)]),
    ("shape { dim: 2 } shape { dim: 4 dim: 5 dim: 6 }", [(2,), (4, 5, 6)]),
    ("", [(), ()]),
])
def test_shapes(body: str, shapes: list[tuple[int, ...]]) -> None:
    assert inputs(body).top_shapes([]) == shapes


def test_as_many_shapes_as_tops() -> None:
    with pytest.raises(CaffeError, match=r"layer 'd' \(Input\): give input_param.shape once, once for each"):
        inputs("shape {} shape {} shape {}")


def test_makes_nothing() -> None:
    with pytest.raises(CaffeError, match=r"layer 'd' \(Input\): it makes nothing; give its tops to the net"):
        inputs("shape {}")()
