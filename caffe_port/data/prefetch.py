"""A thread that makes things ahead of time, in order, no more than so many."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _Failed:
    """What comes out instead of a result."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Shared(Generic[T]):
    """What thread and consumer share. The thread must not know the Prefetcher: then that could never be garbage.

    Two queues in C rather than a condition: for a batch of small pictures the hand-over is a good part of the cost.
    """

    def __init__(self, depth: int) -> None:
        self.ready: SimpleQueue[T | _Failed] = SimpleQueue()
        self.room: SimpleQueue[None] = SimpleQueue()  # something in it for everything that may be made
        self.stopped = False
        for _ in range(depth):
            self.room.put(None)

    def stop(self) -> None:
        self.stopped = True
        self.room.put(None)


class Prefetcher(Generic[T]):
    """Calls `produce` in a thread; `get` gives the results in order.

    At most `depth` results are made ahead, the one in the making included. With depth 0 there is no thread: `get`
    calls `produce`. What `produce` raises comes out of `get` in its turn, and again of every later `get`. `close`
    waits until the thread is gone; a Prefetcher that is dropped stops its thread too.
    """

    def __init__(self, produce: Callable[[], T], depth: int, name: str = "prefetch") -> None:
        self.produce = produce
        self.shared: _Shared[T] = _Shared(depth)
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None
        if depth > 0:
            self.thread = threading.Thread(target=_work, args=(self.shared, produce), name=name, daemon=True)
            weakref.finalize(self, self.shared.stop)
            self.thread.start()

    def get(self) -> T:
        if self.thread is None:
            return self.produce()
        if self.error is None:
            result = self.shared.ready.get()
            if not isinstance(result, _Failed):
                self.shared.room.put(None)
                return result
            self.error = result.error
        raise self.error

    def close(self) -> None:
        self.shared.stop()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join()
        try:
            while True:
                self.shared.ready.get_nowait()
        except Empty:
            self.shared.ready.put(_Failed(RuntimeError("the prefetcher is closed")))


def _work(shared: _Shared[T], produce: Callable[[], T]) -> None:
    while True:
        shared.room.get()
        if shared.stopped:
            return
        try:
            result = produce()
        except BaseException as e:  # noqa: B902 - all kinds belong to the consumer
            shared.ready.put(_Failed(e))
            return
        shared.ready.put(result)
