"""What a running solver may be asked to do from outside: stop, or write a snapshot. Signals ask, the solver polls."""

from __future__ import annotations

import contextlib
import enum
import signal
import threading
from collections.abc import Callable, Iterator


class Action(enum.Enum):
    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


Poll = Callable[[], Action]
"""Gives the request that came since the last call, once."""


def never() -> Action:
    return Action.NONE


@contextlib.contextmanager
def signals(sigint: Action = Action.STOP, sighup: Action = Action.SNAPSHOT) -> Iterator[Poll]:
    """Turn SIGINT (Ctrl-C) and SIGHUP into requests while the block runs; yields the function to poll.

    Where Ctrl-C stops, a second one while the first is still unanswered raises KeyboardInterrupt: a hung data source
    can be left.
    Source: `SignalHandler`, src/caffe/util/signal_handler.cpp. Outside the main thread Python allows no handlers, and
    nothing is ever requested.
    """
    if threading.current_thread() is not threading.main_thread():
        yield never
        return
    effects = {signal.SIGINT: sigint}
    if hasattr(signal, "SIGHUP"):
        effects[signal.SIGHUP] = sighup
    pending: set[int] = set()

    def note(number: int, frame: object) -> None:
        if number == signal.SIGINT and sigint is Action.STOP and number in pending:
            raise KeyboardInterrupt
        pending.add(number)

    def poll() -> Action:
        for number in sorted(pending):
            pending.discard(number)
            if effects[signal.Signals(number)] is not Action.NONE:
                return effects[signal.Signals(number)]
        return Action.NONE

    before = {number: signal.signal(number, note) for number in effects}
    try:
        yield poll
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
