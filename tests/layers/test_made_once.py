"""Constants of a layer: made once, and right wherever, in whatever type and at whatever size the layer runs next."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from caffe_port.layers.base import KEPT, Layer
from caffe_port.proto import caffe_pb2
from tests.layers.far import PLACE, Far, FarTensor
from tests.layers.runner import Case, make, outputs

LAYER = 'type: "Unpooling" unpooling_param { unpool: AVE kernel_size: 3 stride: 2 unpool_size: 6 }'


class Counted(Layer):
    def __init__(self) -> None:
        super().__init__(caffe_pb2.LayerParameter(name="l"))
        self.made = 0

    def thirds(self, count: int) -> list[np.ndarray]:
        self.made += 1
        return [np.arange(count) / 3, np.arange(count)]

    def __call__(self, like: Tensor, count: int) -> tuple[Tensor, ...]:
        return self.made_once(like, self.thirds, count)


def test_once_for_a_size_and_anew_for_a_type() -> None:
    layer, single, double = Counted(), torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    first = layer(single, 5)
    assert layer(single, 7)[0].shape == (7,) and layer(single, 5)[0] is first[0] and layer.made == 2
    for like, made in ((double, 3), (single, 4)):
        share, whole = layer(like, 5)
        assert share.dtype == like.dtype and whole.dtype == torch.int64 and layer.made == made
        assert torch.equal(share, torch.arange(5, dtype=torch.float64).div(3).to(like.dtype))  # not rounded twice


def test_a_layer_that_sees_ever_new_sizes_does_not_grow() -> None:
    layer = Counted()
    for count in range(3 * KEPT):
        layer(torch.zeros(1), count)
    assert len(layer._made_once) <= KEPT


def test_they_follow_a_layer_to_another_device_and_back() -> None:
    layer = Counted()
    with Far():
        for like, kind in ((torch.zeros(1), Tensor), (torch.zeros(1).to(PLACE), FarTensor), (torch.zeros(1), Tensor)):
            assert all(type(t) is kind for t in layer(like, 5))


def gradient(net: torch.nn.Module) -> Tensor:
    x = torch.linspace(-1, 1, 2 * 3 * 2 * 3).reshape(2, 3, 2, 3).requires_grad_()
    (top,) = outputs(net, {"b0": x})
    top.square().sum().backward()
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("changed", [
    copy.deepcopy,
    lambda net: pickle.loads(pickle.dumps(net)),
    lambda net: net.double().float(),
], ids=["copy", "pickle", "to and fro"])  # fmt: skip
def test_a_net_trains_on_after_it_ran(changed: Callable[[torch.nn.Module], torch.nn.Module]) -> None:
    net, other = (make(Case("made once", LAYER, [(2, 3, 2, 3)])) for _ in range(2))
    with torch.inference_mode():  # what is made within it, autograd refuses to save
        outputs(net, {"b0": torch.ones(2, 3, 2, 3)})
    wanted = gradient(other)
    assert torch.equal(gradient(net), wanted) and torch.equal(gradient(changed(net)), wanted)
