"""Batches of one net run by several processes, each its part, with the results in order: bulk tests and features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from caffe_port.net import Net
from caffe_port.solver.team import Team

T = TypeVar("T")


def in_turn(net: Net, count: int, run: Callable[[], T], team: Team) -> Iterator[T]:
    """The results of `count` calls of `run`, which each run one batch of `net`, in the batches' order.

    Process r of n runs the batches r, r + n, ...; all results come out of the root's iterator, none out of the others',
    which must be used up all the same. Data layers that cannot pass batches over make them and drop them. The net must
    not have delivered a batch yet. Results are sent by pickle and should be on the CPU.
    """
    if team.world == 1:
        for _ in range(count):
            yield run()
        return
    sources = [layer for layer in net.layers if layer.role == "data"]
    makers = [layer for layer in sources if not hasattr(layer, "share_batches")]
    for layer in sources:
        if layer not in makers:
            layer.share_batches(team.rank, team.world)
    _drop(makers, team.rank)
    for first in range(0, count, team.world):
        here = first + team.rank < count
        mine = team.each(run) if here else team.each(lambda: None)
        if here:
            _drop(makers, team.world - 1)
        yield from team.gather(mine)[: count - first]  # type: ignore[misc]


def _drop(layers: list, batches: int) -> None:
    for _ in range(batches):
        for layer in layers:
            layer()
