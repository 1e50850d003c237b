"""Marks of what a training is made of besides its settings: the prepared data and the initial weights.

Equal marks mean equal contents as far as can be told without reading gigabytes: every key and every attribute record of
the databases, evenly spread pictures and segmentations of theirs, what prepare.json counted over all of them, the
lists, evenly spread blocks of the weights. Paths, dates and how a database lies on disk are not in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caffe_port.data.db import open_db
from caffe_port.errors import DataError
from caffe_port.par.experiment.plan import Plan
from caffe_port.par.prepare import finished
from caffe_port.par.triple import folders

LISTS = ("attributes.txt", "classes.txt", "positive_rates.txt")
COUNTED = {"image": ("mean_bgr",), "attr": (), "seg": ("class_pixels", "without_segmentation")}
"""What prepare.json says of a split's databases, over all of their records."""
CALLED = {"image": "pictures", "attr": "attributes", "seg": "segmentation"}
RECORDS, BLOCKS, BLOCK = 32, 16, 1 << 16


def marks(plan: Plan) -> dict[str, str]:
    """By what it is of, in words. A file of weights that is gone has none: a training that has begun can do without."""
    files = [*plan.weights, *([plan.weight_map] if plan.weight_map else [])]
    return {**data_marks(plan.data), **{name: _of_file(Path(name)) for name in files if Path(name).is_file()}}


def data_marks(data: str | Path) -> dict[str, str]:
    """DataError where the folder is not one that `par prepare` finished, or lacks something."""
    folder, summary = Path(data), finished(data)["summary"]
    found = {}
    for split in ("train", "test"):
        about = summary["splits"][split]
        for part, database in folders(folder, split).items():
            step = 1 if part == "attr" else max(1, about["records"] // RECORDS)
            found[f"{split} {CALLED[part]}"] = _of_records(database, [about[name] for name in COUNTED[part]], step)
    for name in LISTS:
        try:
            found[name] = _digest((folder / name).read_bytes())
        except OSError as error:
            raise DataError(f"{folder}: not a folder that `par prepare` finished: {error}") from None
    return found


def begun_on(job: str | Path) -> dict[str, str]:
    """The marks that a job's folder keeps in job.json; none where it was begun before there were any."""
    path = Path(job, "job.json")
    return json.loads(path.read_text(encoding="utf-8")).get("marks", {}) if path.exists() else {}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs; what one of them does not tell is not compared."""
    return sorted(what for what, mark in before.items() if now.get(what, mark) != mark)


def _of_records(database: Path, counted: list[Any], step: int) -> str:
    """Of all keys and of every `step`-th value."""
    h, i, wrapped = hashlib.sha256(json.dumps(counted, sort_keys=True).encode()), 0, False
    with open_db(database) as db:
        cursor = db.cursor()
        while not wrapped:
            h.update(cursor.key)
            if i % step == 0:
                h.update(cursor.value)
            i, wrapped = i + 1, cursor.next()
    return h.hexdigest()[:16]


def _of_file(path: Path) -> str:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= BLOCKS * BLOCK:
            return _digest(file.read())
        h = hashlib.sha256(str(size).encode())
        for i in range(BLOCKS):
            file.seek(i * (size - BLOCK) // (BLOCKS - 1))
            h.update(file.read(BLOCK))
    return h.hexdigest()[:16]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
