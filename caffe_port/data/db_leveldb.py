"""LevelDB behind the interface of `db_base.py`, through the optional package plyvel (`pip install
caffe-port[leveldb]`).
"""

from __future__ import annotations

import os
import threading
from typing import Any

from caffe_port.data.db_base import Cursor, Db, Writer
from caffe_port.data.extras import need
from caffe_port.errors import DataError

_open: dict[str, tuple[Any, int]] = {}  # real path -> plyvel.DB, users: LevelDB opens a folder once a process
_guard = threading.Lock()


def _acquire(source: str) -> Any:
    plyvel = need("plyvel", "leveldb", f"{source}: reading a LevelDB")
    path = os.path.realpath(source)
    with _guard:
        db, users = _open.get(path, (None, 0))
        if db is None:
            try:
                db = plyvel.DB(source, create_if_missing=False)
            except plyvel.Error as e:
                raise DataError(f"{source}: not a readable LevelDB ({e}); copy it again or make it anew") from None
        _open[path] = db, users + 1
        return db


def _release(source: str) -> None:
    path = os.path.realpath(source)
    with _guard:
        db, users = _open[path]
        if users > 1:
            _open[path] = db, users - 1
        else:
            del _open[path]
            db.close()


class LevelDbCursor(Cursor):
    def __init__(self, source: str, db: Any) -> None:
        self.source = source
        self.error = need("plyvel", "leveldb", f"{source}: reading a LevelDB").Error
        self.iterator = db.raw_iterator(verify_checksums=True)
        self.first()

    @property
    def key(self) -> bytes:  # type: ignore[override]  # read-only here: nobody sets it
        return self.iterator.key()

    @property
    def value(self) -> bytes:
        return self.iterator.value()

    def first(self) -> None:
        self._step(self.iterator.seek_to_first)
        if not self.iterator.valid():
            raise DataError(f"{self.source}: the database is empty: it holds no record")

    def next(self) -> bool:
        self._step(self.iterator.next)
        if self.iterator.valid():
            return False
        self.first()
        return True

    def seek(self, key: bytes) -> None:
        self._step(lambda: self.iterator.seek(key))
        if not self.iterator.valid() or self.key != key:
            raise DataError(f"{self.source}: there is no record {key!r}; is it the same database as before?")

    def _step(self, step: Any) -> None:
        try:
            step()
        except self.error as e:
            raise DataError(f"{self.source}: damaged ({e}); copy it again or make it anew") from None

    def close(self) -> None:
        self.iterator.close()


class LevelDbReader(Db):
    def __init__(self, source: str) -> None:
        self.source = source
        self.db = _acquire(source)

    def cursor(self) -> LevelDbCursor:
        return LevelDbCursor(self.source, self.db)

    def close(self) -> None:
        if self.db is not None:
            self.db = None
            _release(self.source)


class LevelDbWriter(Writer):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        plyvel = need("plyvel", "leveldb", f"{source}: writing a LevelDB")
        self.error = plyvel.Error
        try:
            self.db = plyvel.DB(source, create_if_missing=True)
        except plyvel.Error as e:
            raise DataError(f"{source}: cannot be written as a LevelDB ({e})") from None

    def commit(self) -> None:
        if not self.pending:
            return
        try:
            with self.db.write_batch(sync=True) as batch:
                for key, value in self.pending:
                    batch.put(key, value)
        except self.error as e:
            first, last = self.pending[0][0], self.pending[-1][0]
            raise DataError(f"{self.source}: records {first!r} to {last!r} could not be written ({e})") from None
        self.pending.clear()

    def last_key(self) -> bytes | None:
        return next(iter(self.db.iterator(reverse=True, include_value=False)), None)

    def __len__(self) -> int:
        return sum(1 for _ in self.db.iterator(include_value=False))

    def release(self) -> None:
        self.db.close()
