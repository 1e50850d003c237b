"""Facts about PETA and RAP to hold a reader against: names in order and positive rates (attributes.csv)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

RECORDS = {"peta": 19000, "rap": 41585}
ROUNDED = 1e-5
"""Rates are published to five digits."""


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


def differences(dataset: str, attributes: Sequence[str], labels: np.ndarray) -> list[str]:
    """In words, what of a tree is not as published: number of records, names, positive rates over all pictures. A part
    of a data set can be worked on, but its measures are no measures of that data set."""
    facts = published(dataset)
    said = []
    if len(labels) != RECORDS[dataset]:
        said.append(f"{len(labels)} records; the published {dataset.upper()} has {RECORDS[dataset]}")
    if len(attributes) != len(facts):
        said.append(f"{len(attributes)} attributes; the published {dataset.upper()} is evaluated on {len(facts)}")
    if other := [(a, p.name) for a, p in zip(attributes, facts, strict=False) if a != p.name]:
        ours, theirs = other[0]
        said.append(f"{len(other)} attributes have other names than published (first: '{ours}', '{theirs}')")
    if not said:
        apart = np.abs((labels == 1).mean(0) - [p.rate_all for p in facts])
        worst = int(apart.argmax())
        if apart[worst] > ROUNDED:
            points = f"{100 * apart[worst]:.2f} points ({attributes[worst]})"
            said.append(f"other positive rates than published, by up to {points}")
    return said
