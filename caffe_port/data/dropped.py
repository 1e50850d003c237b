"""Closing what the garbage collector found.

It may come upon a data layer anywhere, also while Python starts a thread, where Python holds a lock of its own
(`threading._shutdown_locks_lock`) that joining a thread wants: closing there would wait for ever. So it only leaves the
work here, and whoever opens something next does it; the end of the process at the latest.
"""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable

_left: deque[Callable[[], None]] = deque()
_ending = False


def later(close: Callable[[], None]) -> None:
    """Takes no lock and waits for nothing."""
    if _ending:
        close()
    else:
        _left.append(close)


def close_dropped() -> None:
    while _left:
        try:
            close = _left.popleft()
        except IndexError:  # another thread was faster
            return
        close()


@atexit.register
def _end() -> None:
    global _ending
    _ending = True
    close_dropped()
