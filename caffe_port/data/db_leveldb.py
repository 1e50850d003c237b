"""LevelDB behind the interface of `db_base.py`, through the optional package plyvel, or where that has no build
plyvel-next (`pip install caffe-port[leveldb]`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from typing import Any

from caffe_port.data.db_base import Cursor, Db, Writer
from caffe_port.data.extras import need
from caffe_port.errors import DataError

TABLES = (".ldb", ".sst")  # files that LevelDB never changes once they are there


def _said(error: Exception) -> str:
    """What LevelDB says, which plyvel hands on as bytes."""
    return " ".join(a.decode("utf-8", "replace") if isinstance(a, bytes) else str(a) for a in error.args)


def _plyvel(what: str) -> Any:
    """The package under either of its names; a DataError that starts with `what` where neither is installed."""
    renamed = importlib.util.find_spec("plyvel") is None and importlib.util.find_spec("plyvel_next") is not None
    return need("plyvel_next" if renamed else "plyvel", "leveldb", what)


def _view(source: str) -> tempfile.TemporaryDirectory[str]:
    """A folder of our own that shows the database: links to its tables, copies of its few small other files.

    LevelDB locks and changes a folder merely to read it. Through a view the source stays as it is, may be read-only,
    and serves several processes.
    """
    view = tempfile.TemporaryDirectory(prefix="leveldb-")
    for name in os.listdir(source):
        path, shown = os.path.abspath(os.path.join(source, name)), os.path.join(view.name, name)
        if name.endswith(TABLES):
            os.symlink(path, shown)
        elif name == "CURRENT" or name.startswith("MANIFEST-") or name.endswith(".log"):
            shutil.copyfile(path, shown)
    return view


class LevelDbCursor(Cursor):
    def __init__(self, source: str, db: Any) -> None:
        self.source = source
        self.error = _plyvel(f"{source}: reading a LevelDB").Error
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
            raise DataError(f"{self.source}: damaged ({_said(e)}); copy it again or make it anew") from None

    def close(self) -> None:
        self.iterator.close()


class LevelDbReader(Db):
    def __init__(self, source: str) -> None:
        self.source = source
        plyvel = _plyvel(f"{source}: reading a LevelDB")
        self.view = _view(source)
        try:
            # Without paranoid checks damage in the log of the last records drops them, unsaid.
            self.db = plyvel.DB(self.view.name, create_if_missing=False, paranoid_checks=True)
        except plyvel.Error as e:
            self.view.cleanup()
            raise DataError(f"{source}: not a readable LevelDB ({_said(e)}); copy it again or make it anew") from None

    def cursor(self) -> LevelDbCursor:
        return LevelDbCursor(self.source, self.db)

    def close(self) -> None:
        self.db.close()
        self.view.cleanup()


class LevelDbWriter(Writer):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        plyvel = _plyvel(f"{source}: writing a LevelDB")
        self.error = plyvel.Error
        try:
            self.db = plyvel.DB(source, create_if_missing=True)
        except plyvel.Error as e:
            raise DataError(f"{source}: cannot be written as a LevelDB ({_said(e)})") from None

    def commit(self) -> None:
        if not self.pending:
            return
        try:
            with self.db.write_batch(sync=True) as batch:
                for key, value in self.pending:
                    batch.put(key, value)
        except self.error as e:
            first, last = self.pending[0][0], self.pending[-1][0]
            raise DataError(f"{self.source}: records {first!r} to {last!r} could not be written ({_said(e)})") from None
        self.pending.clear()

    def last_key(self) -> bytes | None:
        return next(iter(self.db.iterator(reverse=True, include_value=False)), None)

    def __len__(self) -> int:
        return sum(1 for _ in self.db.iterator(include_value=False))

    def release(self) -> None:
        self.db.close()
