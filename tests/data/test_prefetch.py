"""The prefetching thread: order, bound, errors in their turn, a clean end."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from itertools import count

import pytest

from caffe_port.data.prefetch import Prefetcher


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_order(depth: int) -> None:
    numbers = count()
    prefetcher = Prefetcher(lambda: next(numbers), depth)
    assert [prefetcher.get() for _ in range(50)] == list(range(50))
    prefetcher.close()


@pytest.mark.parametrize("depth", [1, 3])
def test_bound(depth: int) -> None:
    """Never more than `depth` ahead, the one in the making included; with a slow consumer just as many."""
    numbers = count()
    started = []
    prefetcher = Prefetcher(lambda: started.append(0) or next(numbers), depth)
    for taken in range(5):
        wait_for(lambda taken=taken: len(started) == taken + depth)
        time.sleep(0.01)
        assert len(started) == taken + depth
        assert prefetcher.get() == taken
    prefetcher.close()


@pytest.mark.parametrize("depth", [0, 2])
def test_error_in_its_turn(depth: int) -> None:
    numbers = count()

    def produce() -> int:
        number = next(numbers)
        if number >= 3:
            raise ValueError("the fourth")
        return number

    prefetcher = Prefetcher(produce, depth)
    assert [prefetcher.get() for _ in range(3)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(ValueError, match="the fourth"):
            prefetcher.get()
    prefetcher.close()


def test_close_ends_the_thread() -> None:
    numbers = count()
    prefetcher = Prefetcher(lambda: next(numbers), 2, "to be closed")
    prefetcher.get()
    prefetcher.close()
    prefetcher.close()
    assert "to be closed" not in [t.name for t in threading.enumerate()]
    with pytest.raises(RuntimeError, match="closed"):
        prefetcher.get()


def test_dropped_ends_the_thread() -> None:
    numbers = count()
    prefetcher = Prefetcher(lambda: next(numbers), 2, "to be dropped")
    prefetcher.get()
    del prefetcher
    gc.collect()
    wait_for(lambda: "to be dropped" not in [t.name for t in threading.enumerate()])
