"""Log lines in the shape of Caffe's glog, so that the scripts that read Caffe's logs read ours.

`I1123 05:09:50.758400  7577 solver.cpp:45] message`: level, date, time, process, the place in Caffe that says this.
Callers name Caffe's place (`solver.cpp:239`), because log parsers search for it. The year is not there, as Caffe's own
extract_seconds.py and parse_log.py demand; glog gives it since 0.6, and here with its GLOG_log_year_in_prefix=1.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol, TextIO


class Lines(Protocol):
    """What takes the lines: a text file, or anything with its two methods (a progress bar)."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


LEVELS = "IWEF"
ON = ("1", "true", "t", "yes", "y")
_lock = threading.Lock()
_said_once: set[str] = set()
_record = False
_stream: Lines | None = None  # None: whatever sys.stderr is at the time of the call
_level: int | None = None
_file: TextIO | None = None


def min_level() -> int:
    """The lowest level that is printed: as `configured`, or glog's own variable GLOG_minloglevel, or 0 (INFO)."""
    value = os.environ.get("GLOG_minloglevel", "0")
    return _level if _level is not None else int(value) if value.isdigit() else 0


@contextlib.contextmanager
def configured(program: str, folder: str | None = None, level: int | None = None) -> Iterator[None]:
    """glog's flags log_dir and minloglevel while the block runs.

    All lines go to a file of this process in `folder` as well (absent: GLOG_log_dir, or none), and PROGRAM.INFO there
    leads to the last such file. Of several processes rank 0 has a file. OSError: it cannot be written.
    """
    global _level, _file
    folder = folder or os.environ.get("GLOG_log_dir")
    _level = level
    try:
        if folder and os.environ.get("RANK", "0") == "0":
            _file = _opened(program, Path(folder))
        yield
    finally:
        if _file is not None:
            _file.close()
        _level, _file = None, None


def set_level(level: int) -> None:
    """The lowest level to print from now on, as glog's minloglevel set by a program."""
    global _level
    _level = level


def _opened(program: str, folder: Path) -> TextIO:
    now, host = datetime.now(), platform.node()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers; glog's word
        user = "invalid-user"
    path = folder / f"{program}.{host}.{user}.log.INFO.{now:%Y%m%d-%H%M%S}.{os.getpid()}"
    file = path.open("w", encoding="utf-8")
    print(f"Log file created at: {now:%Y/%m/%d %H:%M:%S}\nRunning on machine: {host}", file=file)
    day = "yyyymmdd" if _with_year() else "mmdd"
    print(f"Log line format: [IWEF]{day} hh:mm:ss.uuuuuu threadid file:line] msg", file=file, flush=True)
    link = folder / f"{program}.INFO"
    with contextlib.suppress(OSError):  # as in glog: others may make theirs now, and some file systems have no links
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
    return file


def first_time(place: str) -> bool:
    """Whether this is asked for the first time in this process, of a line that Caffe logs once (LOG_FIRST_N)."""
    new = place not in _said_once
    _said_once.add(place)
    return new


def redirect(stream: Lines | None, record: bool = False) -> None:
    """Send the lines to `stream`; None sends them to standard error again. A `record` gets those of every level."""
    global _stream, _record
    _stream, _record = stream, record


def _with_year() -> bool:
    return os.environ.get("GLOG_log_year_in_prefix", "").lower() in ON


def line(level: str, place: str, message: str) -> str:
    day = "%Y%m%d" if _with_year() else "%m%d"
    return f"{level}{datetime.now():{day} %H:%M:%S.%f} {os.getpid():5d} {place}] {message}"


def log(level: str, place: str, message: str) -> None:
    if LEVELS.index(level) < min_level() and not _record:
        return
    text = line(level, place, message)
    with _lock:
        print(text, file=_stream or sys.stderr, flush=True)
        if _file is not None:
            print(text, file=_file, flush=True)


def ended(message: str) -> None:
    """The error that ends the program, for the log's file; standard error has it as a line of the command's own."""
    if _file is not None:
        print(line("F", "caffe.cpp:430", message), file=_file, flush=True)


def info(place: str, message: str) -> None:
    log("I", place, message)


def warn(place: str, message: str) -> None:
    log("W", place, message)


def error(place: str, message: str) -> None:
    log("E", place, message)
