"""The course of a training, from Caffe's own log lines or from JSON.

JSON: {"train": [{"iteration": 20, "lr": 3e-4, "loss": 12.3, "par1_loss": 9.1}, ...], "test": [{"iteration": 500, ...}]}
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from caffe_port.errors import DataError

NUMBER = r"([-+\d.eE]+|nan|inf|-nan|-inf)"
ITERATION = re.compile(rf"Iteration (\d+).*?, loss = {NUMBER}")
TESTING = re.compile(r"Iteration (\d+), Testing net")
RATE = re.compile(rf"Iteration (\d+), lr = {NUMBER}")
OUTPUT = re.compile(rf"(Train|Test) net output #\d+: (\S+) = {NUMBER}")

Points = list[tuple[int, float]]


@dataclass
class Trace:
    """Values by name, each as (iteration, value) in order. `train` holds "loss" (smoothed by average_loss) and the
    outputs of the training net, `test` those of the test net."""

    train: dict[str, Points] = field(default_factory=dict)
    test: dict[str, Points] = field(default_factory=dict)
    lr: Points = field(default_factory=list)

    @property
    def iterations(self) -> int:
        """The last iteration that anything was said of."""
        return max((p[-1][0] for p in (*self.train.values(), *self.test.values(), self.lr) if p), default=0)

    def to_json(self) -> dict[str, list[dict[str, float]]]:
        def rows(columns: dict[str, Points]) -> list[dict[str, float]]:
            found: dict[int, dict[str, float]] = {}
            for name, points in columns.items():
                for iteration, value in points:
                    found.setdefault(iteration, {"iteration": iteration})[name] = value
            return [found[i] for i in sorted(found)]

        return {"train": rows({**self.train, "lr": self.lr}), "test": rows(self.test)}


def read(path: str | os.PathLike[str]) -> Trace:
    """A log file (any lines that are not Caffe's are skipped) or JSON; DataError for JSON of another form."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if Path(path).suffix != ".json":
        return parse(text)
    try:
        content = json.loads(text)
        trace = Trace()
        for part, columns in (("train", trace.train), ("test", trace.test)):
            for row in content.get(part, []):
                for name, value in row.items():
                    if name == "iteration" or value is None:
                        continue
                    into = trace.lr if name == "lr" else columns.setdefault(name, [])
                    into.append((int(row["iteration"]), float(value)))
        return trace
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a training trace: {error!r}") from None


def parse(text: str) -> Trace:
    """Caffe's log lines. An iteration that occurs again (a resumed run) replaces what was there from it on."""
    trace = Trace()
    now = {"Train": 0, "Test": 0}
    for line in text.splitlines():
        if found := TESTING.search(line):
            now["Test"] = int(found[1])
        elif found := ITERATION.search(line):
            now["Train"] = int(found[1])
            _append(trace.train.setdefault("loss", []), now["Train"], float(found[2]))
        elif found := RATE.search(line):
            _append(trace.lr, int(found[1]), float(found[2]))
        elif found := OUTPUT.search(line):
            columns = trace.train if found[1] == "Train" else trace.test
            _append(columns.setdefault(found[2], []), now[found[1]], float(found[3]))
    return trace


def _append(points: Points, iteration: int, value: float) -> None:
    while points and points[-1][0] >= iteration:
        points.pop()
    points.append((iteration, value))
