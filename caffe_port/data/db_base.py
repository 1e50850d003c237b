"""What every database here is, whichever library stores it: a reader with cursors, and a writer of batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TypeVar

Self = TypeVar("Self", bound="Closing")
Kind = type[BaseException] | None
UNFINISHED = ".unfinished"
Buffer = bytes | memoryview
BATCH = 1000  # puts between commits, as Caffe's tools have it


class Closing(ABC):
    """Something to be closed; `with` closes it."""

    source: str

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Cursor(ABC):
    """A place in a database, in key order, wrapping. Used by one thread at a time."""

    source: str
    key: bytes

    @property
    @abstractmethod
    def value(self) -> bytes:
        """The record here."""

    @abstractmethod
    def first(self) -> None: ...

    @abstractmethod
    def next(self) -> bool:
        """Step to the next record; True when that was the first one again."""

    def take(self, count: int) -> tuple[list[tuple[Buffer, Buffer]], int]:
        """Keys and values of the next `count` records, the one here first, and how often the first one came again.

        They may be views of the database's own memory: copy what is to be kept longer than the cursor.
        """
        taken: list[tuple[Buffer, Buffer]] = []
        wraps = 0
        for _ in range(count):
            taken.append((self.key, self.value))
            wraps += self.next()
        return taken, wraps

    @abstractmethod
    def seek(self, key: bytes) -> None:
        """Go to this record; DataError when there is none of this key."""

    @abstractmethod
    def close(self) -> None: ...


class Db(Closing):
    """A database open for reading."""

    @abstractmethod
    def cursor(self) -> Cursor:
        """A cursor on the first record; DataError when the database holds none."""


class Writer(Closing):
    """A database being written. Records are committed in batches; what is committed survives anything."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.pending: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes, value: bytes) -> None:
        """Set a record. Every `BATCH` of them are committed together."""
        self.pending.append((key, value))
        if len(self.pending) >= BATCH:
            self.commit()

    @abstractmethod
    def commit(self) -> None:
        """Make the records put so far safe. DataError when the disk refuses; the earlier batches stay."""

    @abstractmethod
    def last_key(self) -> bytes | None:
        """The greatest committed key: where a resumed conversion goes on."""

    @abstractmethod
    def release(self) -> None:
        """Let go of the files without a commit."""

    def close(self) -> None:
        """Commit, let go, and take the mark of an unfinished database away."""
        try:
            self.commit()
        finally:
            self.release()
        (Path(self.source) / UNFINISHED).unlink(missing_ok=True)

    def __exit__(self, kind: Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        """As close; but after an exception the database stays marked unfinished, with the batches committed before."""
        if kind is None:
            self.close()
        else:
            self.release()
