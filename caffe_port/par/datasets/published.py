"""Facts about PETA and RAP to hold a reader against: names in order and positive rates (attributes.csv)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Published:
    """An attribute's positive rate over all pictures and over the first training split, to five digits."""

    name: str
    rate_all: float
    rate_train: float


def published(dataset: str) -> list[Published]:
    """The evaluated attributes of "peta" (35) or "rap" (51), in the data set's order; empty for any other."""
    text = resources.files("caffe_port.par").joinpath("attributes.csv").read_text()
    rows = [r for r in csv.DictReader(text.splitlines()) if r["dataset"].lower() == dataset.lower()]
    rows.sort(key=lambda r: int(r["index"]))
    return [Published(r["name"], float(r["positive_rate_all"]), float(r["positive_rate_train_split1"])) for r in rows]
