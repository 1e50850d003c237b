"""Caffe's training logs, line by line: what parse_log and plot_training_log read.

Source: tools/extra/parse_log.py and extract_seconds.py of BVLC Caffe 1.0.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from caffe_port.errors import DataError

NUMBER = r"([-+]?(?:nan|inf|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))"
STAMP = re.compile(r"[IWEF](\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6}) ")  # glog gives the year since 0.5
ITERATION = re.compile(r"Iteration (\d+)")
LOSS = re.compile(rf"Iteration \d+.*, loss = {NUMBER}")
RATE = re.compile(rf"lr = {NUMBER}")
OUTPUT = re.compile(rf"(Train|Test) net output #(\d+): (\S+) = {NUMBER}( \(\*)?")

Row = dict[str, float]


class Said(NamedTuple):
    """One number of the log. `what`: "loss" (the smoothed one), "rate", or "Train" and "Test" for a net's output.

    `seconds` count from the line that says "Solving"; `rate` is the learning rate last told, NaN before the first;
    `number` and `is_loss` are of outputs.
    """

    what: str
    iteration: int
    seconds: float
    rate: float
    name: str
    value: float
    number: int = 0
    is_loss: bool = False


def read(path: str | os.PathLike[str]) -> Iterator[Said]:
    """Every number told after the first "Iteration"; lines without a time (a broken one, a traceback) are skipped.

    DataError: no line says "Solving", so there is no start to count seconds from.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        year = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime).year
        start: datetime | None = None
        last, iteration, rate = datetime.min, -1, math.nan
        for line in file:
            if start is None and "Solving" not in line:
                continue
            now = _time(line, year)
            if now is not None and now.month < last.month and now.year == last.year:  # the log does not give the year
                year += 1
                now = _time(line, year)
            if now is None:
                continue
            last = now
            start = start or now
            if found := ITERATION.search(line):
                iteration = int(found[1])
            if iteration < 0:
                continue
            seconds = (now - start).total_seconds()
            if found := RATE.search(line):
                rate = float(found[1])
                yield Said("rate", iteration, seconds, rate, "lr", rate)
            if found := LOSS.search(line):
                yield Said("loss", iteration, seconds, rate, "loss", float(found[1]))
            if found := OUTPUT.search(line):
                number, value = int(found[2]), float(found[4])
                yield Said(found[1], iteration, seconds, rate, found[3], value, number, found[5] is not None)
    if start is None:
        raise DataError(f"{path}: no line says 'Solving': this is no log of a training")


def tables(path: str | os.PathLike[str]) -> tuple[list[Row], list[Row]]:
    """(train, test): a row an iteration, with NumIters, Seconds, LearningRate and then the net's outputs by name.

    As Caffe's parse_log: a row has the learning rate told before it, the first row that of the second; rows cut short
    at the end of a log are dropped. Beyond it: NaN and infinity count as numbers, and a log of one row gives that row.
    """
    found: dict[str, list[Row]] = {"Train": [], "Test": []}
    open_rows: dict[str, Row] = {}
    for said in read(path):
        if said.what not in found:
            continue
        rows, row = found[said.what], open_rows.get(said.what)
        if row is None or row["NumIters"] != said.iteration:
            if row is not None:
                rows.append(row)
            row = {"NumIters": float(said.iteration), "Seconds": said.seconds, "LearningRate": said.rate}
            open_rows[said.what] = row
        row[said.name] = said.value
        if rows and len(row) == len(rows[0]):
            rows.append(open_rows.pop(said.what))
    for what, rows in found.items():
        if not rows and what in open_rows:
            rows.append(open_rows[what])
        if len(rows) > 1:
            rows[0]["LearningRate"] = rows[1]["LearningRate"]
    if not found["Train"] and not found["Test"]:
        raise DataError(f"{path}: it has no line 'Train net output' or 'Test net output'; was display 0?")
    return found["Train"], found["Test"]


def write_csv(path: str | os.PathLike[str], rows: list[Row], delimiter: str = ",") -> None:
    """A line a row; the columns of all rows in the order of their first appearance."""
    import csv

    names = list(dict.fromkeys(name for row in rows for name in row))
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def _time(line: str, year: int) -> datetime | None:
    found = STAMP.match(line.lstrip())
    if found is None:
        return None
    own, *rest = found.groups()
    try:
        return datetime(int(own or year), *map(int, rest))  # type: ignore[arg-type]  # month to microsecond
    except ValueError:
        return None
