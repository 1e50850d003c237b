"""Where the records of a data layer come from: a database, or a list of image files.

A Records gives records for ever, in the order that the layer is defined to read, and can say and take back where it
stands. What a record is only its Records knows; making an array of it is separate (`decode`), since that may run in
several threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data import datum as datums
from caffe_port.data.db import Db
from caffe_port.data.db_base import Buffer
from caffe_port.data.image import decode, resize
from caffe_port.errors import DataError

Decoded = tuple[np.ndarray, float]  # (channels, height, width), label
SMALL = 1 << 15  # bytes: a batch of smaller plain records is read as one array, larger ones each by itself


class Records(ABC):
    """An endless sequence of records. `stride` (rank, world): deliver every world-th record, from the rank-th on."""

    stride: tuple[int, int] = (0, 1)

    @abstractmethod
    def next(self) -> Any:
        """The next record."""

    def take(self, count: int) -> list[Any]:
        """The next `count` records."""
        return [self.next() for _ in range(count)]

    @abstractmethod
    def place(self, record: Any) -> object:
        """What names the record in error messages, as text."""

    @abstractmethod
    def decode(self, record: Any) -> Decoded:
        """The record's array and label; any thread may call it. DataError for a bad record."""

    def together(self, records: Sequence[Any]) -> tuple[np.ndarray, list[float]] | None:
        """What `decode` gives for each of them, as one array (records, channels, height, width) and the labels; None
        where they are not all small, good, and stored in a way that makes this cheap.
        """
        return None

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Where it stands, as plain numbers and strings."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None: ...

    @abstractmethod
    def rewind(self) -> None:
        """Back to where it started."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""


class DbRecords(Records):
    """Records of a database in key order. `wrapped` is called whenever the first comes after the last.

    `offset` counts the records passed, over all wraps: rank r of n takes those with offset mod n = r, so that after an
    end that n does not divide the ranks go on with other records. Source: `DataLayer::Skip`, `DataLayer::Next`.
    """

    def __init__(self, db: Db, labels: bool, color: Callable[[], bool | None], wrapped: Callable[[], None]) -> None:
        self.db = db
        self.labels = labels
        self.color = color
        self.wrapped = wrapped
        self.layout: datums.Layout | None = None  # of the first record that has one
        self.cursor = db.cursor()
        self.rewind()

    def rewind(self) -> None:
        self.cursor.first()
        self.offset = 0

    def next(self) -> Any:
        rank, world = self.stride
        while world > 1 and self.offset % world != rank:
            self._step()
        return self._taken(1)[0]

    def take(self, count: int) -> list[Any]:
        return self._taken(count) if self.stride[1] == 1 else super().take(count)

    def _taken(self, count: int) -> list[tuple[Buffer, Buffer]]:
        records, wraps = self.cursor.take(count)
        self.offset += count
        for _ in range(wraps):
            self.wrapped()
        return records

    def _step(self) -> None:
        self.offset += 1
        if self.cursor.next():
            self.wrapped()

    def place(self, record: Any) -> datums.Where:
        return datums.Where(self.db.source, bytes(record[0]))

    def decode(self, record: Any) -> Decoded:
        layout = self.layout
        read = layout.read(record[1]) if layout is not None else None
        if read is not None:
            return read if self.labels else (read[0], 0.0)
        place = self.place(record)
        datum = datums.parse(record[1], place)
        encoded = datum.encoded
        array = datums.to_array(datum, place, self.color() if encoded else None)
        if layout is None and not encoded:
            self.layout = datums.layout(datum)
        return array, datums.label(datum, place) if self.labels else 0.0

    def together(self, records: Sequence[Any]) -> tuple[np.ndarray, list[float]] | None:
        layout = self.layout
        if layout is None or layout.end > SMALL:
            return None
        read = layout.read_all([value for _, value in records])
        return read if read is None or self.labels else (read[0], [0.0] * len(records))

    def state(self) -> dict[str, Any]:
        return {"key": self.cursor.key.hex(), "offset": self.offset}

    def restore(self, state: dict[str, Any]) -> None:
        self.cursor.seek(bytes.fromhex(state["key"]))
        self.offset = state["offset"]

    def close(self) -> None:
        self.cursor.close()
        self.db.close()


class ImageRecords(Records):
    """Image files of a list, line by line, or in a new random order each time through.

    Every time through ("epoch") has the order that `seed` and its number give, so a state is three numbers. `size`:
    (height, width) to resize to, or None. `skip`: lines left out once, at the start.
    """

    def __init__(
        self, lines: list[tuple[str, Any]], root: str, size: tuple[int, int] | None, color: bool, seed: int | None,
        skip: int,
    ) -> None:
        self.lines = lines
        self.root = root
        self.size = size
        self.color = color
        self.seed = seed
        self.skip = skip
        self.epoch, self.position, self.offset = 0, skip, 0
        self.rewind()

    def rewind(self) -> None:
        self.restore({"epoch": 0, "position": self.skip, "offset": 0, "seed": self.seed})

    def close(self) -> None:
        """Files are open only while they are read."""

    def next(self) -> Any:
        rank, world = self.stride
        while self.offset % world != rank:
            self._step()
        name, label = self.lines[self.order[self.position]]
        self._step()
        return self.root + name, label

    def _step(self) -> None:
        self.offset += 1
        self.position += 1
        if self.position >= len(self.lines):
            self.position = 0
            self.epoch += 1
            self._arrange()

    def _arrange(self) -> None:
        count = len(self.lines)
        self.order = np.arange(count)
        if self.seed is not None:
            self.order = np.random.default_rng([self.seed, self.epoch]).permutation(count)

    def place(self, record: Any) -> str:
        return record[0]

    def decode(self, record: Any) -> Decoded:
        path, label = record
        try:
            image = decode(Path(path).read_bytes(), self.color)
        except (OSError, ValueError) as e:
            raise DataError(f"{path}: {e.strerror if isinstance(e, OSError) else e}") from None
        if self.size is not None:
            image = resize(image, *self.size)
        return datums.channels_first(image), float(label)

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position, "offset": self.offset, "seed": self.seed}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.position, self.offset, self.seed = (state[k] for k in ("epoch", "position", "offset", "seed"))
        if self.position >= len(self.lines):
            raise DataError(f"a list of {len(self.lines)} images has no number {self.position}; is it the same list?")
        self._arrange()


def read_list(source: str) -> list[tuple[str, int]]:
    """Lines `path label`, split at the last blank, so that paths may hold blanks; empty lines do not count.

    DataError, with the line's number, where the label is missing or no whole number (Caffe would read it as 0).
    Source: image_data_layer.cpp of BVLC Caffe 1.0.
    """
    lines = []
    for number, line in numbered_lines(source, "path label"):
        name, _, label = line.rpartition(" ")
        try:
            lines.append((name.rstrip(), int(label)))
        except ValueError:
            name = ""
        if not name:
            raise DataError(f"{source}:{number}: '{line}' is not 'path label' with a whole number for a label")
    return lines


def numbered_lines(source: str, form: str) -> list[tuple[int, str]]:
    """The lines of a list of images with their numbers, without the empty ones; DataError where there is none."""
    try:
        text = Path(source).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as e:
        raise DataError(f"{source}: the list of images cannot be read: {e.strerror}") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DataError(f"{source}: the list of images is empty; each line is '{form}'")
    return lines
