"""A progress bar at the bottom of a terminal, under the log lines; silent where standard error is no terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from caffe_port import log

Step = Callable[[str, int, int, str], None]
"""Told of progress: what is being done, how far, of how much, a note."""


class Bar:
    """`label [#####.....] 120/1000  12%  3.1/s  4:43 left  loss 0.5`, redrawn at most ten times a second.

    Log lines are written through it, so that a line never mixes with the bar; the bar itself is never in a log file.
    """

    WIDTH, INTERVAL = 24, 0.1

    def __init__(self, stream: TextIO, total: int, label: str, start: int = 0) -> None:
        self.stream, self.total, self.label, self.first = stream, max(total, 1), label, start
        self.started = time.monotonic()
        self._drawn_at = 0.0
        self._shown = False

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._drawn_at < self.INTERVAL and done < self.total:
            return
        self._drawn_at = now
        speed = (done - self.first) / max(now - self.started, 1e-6)
        filled = int(self.WIDTH * min(done / self.total, 1))
        parts = [
            f"{self.label} [{'#' * filled}{'.' * (self.WIDTH - filled)}] {done}/{self.total}",
            f"{100 * done / self.total:.0f}%",
        ]
        if speed > 0:
            left = int((self.total - done) / speed)
            parts += [f"{speed:.3g}/s", f"{left // 60}:{left % 60:02d} left"]
        self.stream.write(f"\r{'  '.join([*parts, note]).rstrip()}\x1b[K")
        self.stream.flush()
        self._shown = True

    def write(self, text: str) -> int:
        """For log.redirect: the text takes the bar's line; the next update draws the bar below it."""
        if self._shown:
            self.stream.write("\r\x1b[K")
            self._shown = False
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def stderr_bar(total: int, label: str, start: int = 0) -> Bar | None:
    """A bar on standard error; None where that is no terminal."""
    return Bar(sys.stderr, total, label, start) if sys.stderr.isatty() else None


@contextlib.contextmanager
def bar(total: int, label: str, start: int = 0, wanted: bool = True) -> Iterator[Bar | None]:
    """A bar while the block runs, with the log lines above it; None where standard error is no terminal."""
    made = stderr_bar(total, label, start) if wanted else None
    if made is None:
        yield None
        return
    log.redirect(made)
    try:
        yield made
    finally:
        made.write("")
        log.redirect(None)


@contextlib.contextmanager
def steps() -> Iterator[Step]:
    """A function to tell of the progress of a job in several steps: a bar a step, or lines where there is no terminal.

    Without a terminal a step says that it begins, then how far it is every ten seconds.
    """
    name, shown, told = "", None, 0.0  # type: str, Bar | None, float

    def step(what: str, done: int, total: int, note: str) -> None:
        nonlocal name, shown, told
        begins = what != name
        if begins:
            if shown is not None:
                sys.stderr.write("\n")
            name, shown, told = what, stderr_bar(total, what, done), 0.0
        if shown is not None:
            shown.update(done, note)
        elif begins or time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{what}: {done}/{total} {note}".rstrip(), file=sys.stderr, flush=True)

    try:
        yield step
    finally:
        if shown is not None:
            sys.stderr.write("\n")
