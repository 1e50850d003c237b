"""A thread that makes things ahead of time, in order, no more than so many."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Shared(Generic[T]):
    """What thread and consumer share. The thread must not know the Prefetcher: then that could never be garbage."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.ready: deque[T] = deque()
        self.error: BaseException | None = None
        self.stopped = False

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


class Prefetcher(Generic[T]):
    """Calls `produce` in a thread; `get` gives the results in order.

    At most `depth` results are made ahead, the one in the making included. With depth 0 there is no thread: `get`
    calls `produce`. What `produce` raises comes out of `get` in its turn, and again of every later `get`. `close`
    waits until the thread is gone; a Prefetcher that is dropped stops its thread too.
    """

    def __init__(self, produce: Callable[[], T], depth: int, name: str = "prefetch") -> None:
        self.produce = produce
        self.shared: _Shared[T] = _Shared()
        self.thread: threading.Thread | None = None
        if depth > 0:
            self.thread = threading.Thread(target=_work, args=(self.shared, produce, depth), name=name, daemon=True)
            weakref.finalize(self, self.shared.stop)
            self.thread.start()

    def get(self) -> T:
        if self.thread is None:
            return self.produce()
        shared = self.shared
        with shared.changed:
            shared.changed.wait_for(lambda: shared.ready or shared.error or shared.stopped)
            if shared.ready:
                result = shared.ready.popleft()
                shared.changed.notify_all()
                return result
            if shared.error is not None:
                raise shared.error
            raise RuntimeError("the prefetcher is closed")

    def close(self) -> None:
        self.shared.stop()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join()
        self.shared.ready.clear()


def _work(shared: _Shared[T], produce: Callable[[], T], depth: int) -> None:
    while True:
        with shared.changed:
            shared.changed.wait_for(lambda: shared.stopped or len(shared.ready) < depth)
            if shared.stopped:
                return
        try:
            result = produce()
        except BaseException as e:  # noqa: B902 - all kinds belong to the consumer
            with shared.changed:
                shared.error = e
                shared.changed.notify_all()
            return
        with shared.changed:
            shared.ready.append(result)
            shared.changed.notify_all()
