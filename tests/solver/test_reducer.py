"""Diffs on their way to the other processes: sent during backward, in one order, zeros for what has none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from caffe_port.solver import reducer
from caffe_port.solver.reducer import Reducer


class Sent:
    """Stands for the sum over two processes with equal diffs."""

    def __init__(self, flat: torch.Tensor) -> None:
        self.flat = flat

    def wait(self) -> None:
        self.flat.mul_(2)


@pytest.fixture
def chain(monkeypatch):
    """Four layers, each in a bucket of its own; the third has no part in the loss when `apart`."""
    monkeypatch.setattr(reducer, "FIRST", 1)
    monkeypatch.setattr(reducer, "SIZE", 1)
    torch.manual_seed(2)
    weights = [nn.Parameter(torch.randn(3, 3)) for _ in range(4)]

    def loss(apart: bool = False) -> torch.Tensor:
        x = torch.ones(3)
        for i, weight in enumerate(weights):
            x = x if apart and i == 2 else weight @ x
        return x.square().sum()

    return weights, loss


@pytest.mark.parametrize("apart, in_backward", [(False, 4), (True, 1)])
def test_buckets_leave_during_backward_in_order(chain, apart, in_backward):
    weights, loss = chain
    expected = torch.autograd.grad(loss(apart), weights, allow_unused=True)
    order: list[torch.Tensor] = []
    made = Reducer(weights, 2, lambda flat: order.append(flat) or Sent(flat))
    made.arm()
    loss(apart).backward()
    assert len(order) == in_backward
    made.finish()
    assert [flat.data_ptr() for flat in order] == [w.grad.data_ptr() for w in reversed(weights)]
    for weight, diff in zip(weights, expected, strict=True):
        assert torch.equal(weight.grad, torch.zeros(3, 3) if diff is None else diff)


def test_nothing_leaves_before_the_last_pass(chain):
    weights, loss = chain
    expected = torch.autograd.grad(3 * loss(), weights)
    order: list[torch.Tensor] = []
    made = Reducer(weights, 2, lambda flat: order.append(flat) or Sent(flat))
    for _ in range(2):
        loss().backward()
    assert not order
    made.arm()
    loss().backward()
    made.finish()
    for weight, diff in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, diff)


def test_parts_are_cut_at_their_sizes():
    parameters = [nn.Parameter(torch.zeros(n)) for n in (1 << 22, 1 << 22, 1 << 17, 1 << 17)]
    sizes = [[p.numel() for p in bucket.parameters] for bucket in Reducer(parameters, 2, Sent).buckets]
    assert sizes == [[1 << 17, 1 << 17], [1 << 22], [1 << 22]]
