"""Log lines in the shape of Caffe's glog, so that the scripts that read Caffe's logs read ours.

`I20261123 05:09:50.758400  7577 solver.cpp:45] message`: level, date, time, process, the place in Caffe that says this.
Callers name Caffe's place (`solver.cpp:239`), because log parsers search for it. glog gives the year since its version
0.6; with its own GLOG_log_year_in_prefix=0 it does not, which Caffe's extract_seconds.py and parse_log.py demand.
"""

from __future__ import annotations

import os
import sys
import threading
from datetime import datetime
from typing import Protocol


class Lines(Protocol):
    """What takes the lines: a text file, or anything with its two methods (a progress bar)."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


LEVELS = "IWEF"
OFF = ("0", "false", "f", "no", "n")
_lock = threading.Lock()
_said_once: set[str] = set()
_record = False
_stream: Lines | None = None  # None: whatever sys.stderr is at the time of the call


def min_level() -> int:
    """The lowest level that is printed: glog's own variable, 0 (INFO) unless GLOG_minloglevel says otherwise."""
    value = os.environ.get("GLOG_minloglevel", "0")
    return int(value) if value.isdigit() else 0


def first_time(place: str) -> bool:
    """Whether this is asked for the first time in this process, of a line that Caffe logs once (LOG_FIRST_N)."""
    new = place not in _said_once
    _said_once.add(place)
    return new


def redirect(stream: Lines | None, record: bool = False) -> None:
    """Send the lines to `stream`; None sends them to standard error again. A `record` gets those of every level."""
    global _stream, _record
    _stream, _record = stream, record


def line(level: str, place: str, message: str) -> str:
    day = "%m%d" if os.environ.get("GLOG_log_year_in_prefix", "").lower() in OFF else "%Y%m%d"
    return f"{level}{datetime.now():{day} %H:%M:%S.%f} {os.getpid():5d} {place}] {message}"


def log(level: str, place: str, message: str) -> None:
    if LEVELS.index(level) < min_level() and not _record:
        return
    with _lock:
        print(line(level, place, message), file=_stream or sys.stderr, flush=True)


def info(place: str, message: str) -> None:
    log("I", place, message)


def warn(place: str, message: str) -> None:
    log("W", place, message)


def error(place: str, message: str) -> None:
    log("E", place, message)
