"""LMDB behind the interface of `db_base.py`."""

from __future__ import annotations

import os
import struct
import threading
from itertools import islice

import lmdb

from caffe_port.data.db_base import Buffer, Cursor, Db, Writer
from caffe_port.data.lmdb_pages import pages_missing
from caffe_port.errors import DataError

AGAIN = "copy it again or make it anew"
FIRST_MAP = 1 << 30  # address space, not memory or disk; doubled when it is full

_open: dict[str, tuple[lmdb.Environment, int]] = {}  # real path -> environment, users
_guard = threading.Lock()


def _acquire(source: str) -> lmdb.Environment:
    """LMDB allows one environment a file and process; the train and the test net may well read the same one."""
    path = os.path.realpath(source)
    with _guard:
        env, users = _open.get(path, (None, 0))
        if env is None:
            env = _open_checked(source)
        _open[path] = env, users + 1
        return env


def _release(path: str) -> None:
    with _guard:
        env, users = _open[path]
        if users > 1:
            _open[path] = env, users - 1
        else:
            del _open[path]
            env.close()


def _open_checked(source: str) -> lmdb.Environment:
    file = os.path.join(source, "data.mdb")
    size = os.path.getsize(file)
    if size == 0:
        raise DataError(f"{source}: data.mdb has 0 bytes: its writer never came to write; make the database anew")
    try:
        env = _open_readonly(source)
    except (lmdb.Error, OSError) as e:
        if "already open" in str(e):
            raise DataError(
                f"{source}: this process has it open already, through the package lmdb itself; close it first"
            ) from None
        if isinstance(e, PermissionError | lmdb.ReadonlyError):
            raise DataError(f"{source}: may not be read: {e}") from None
        raise DataError(f"{source}: data.mdb ({size} bytes) is not a whole LMDB file ({e}); {AGAIN}") from None
    try:
        _check_length(source, file, size, env)
    except BaseException:
        env.close()
        raise
    return env


def _open_readonly(source: str) -> lmdb.Environment:
    """With LMDB's reader table where there is one to write in, so that a writer elsewhere spares the pages being read;
    else without. The table is never made: reading leaves the folder as it is."""
    table = os.path.join(source, "lock.mdb")
    if os.path.isfile(table) and os.access(table, os.W_OK):
        try:
            return lmdb.open(source, readonly=True, create=False, lock=True, max_readers=512)
        except lmdb.Error as e:
            if "already open" in str(e):
                raise
    return lmdb.open(source, readonly=True, create=False, lock=False)


def _check_length(source: str, file: str, size: int, env: lmdb.Environment) -> None:
    page = env.stat()["psize"]
    need = (env.info()["last_pgno"] + 1) * page
    if size >= need:
        return
    try:
        missing = pages_missing(file, page)
    except (ValueError, OSError, struct.error) as e:  # struct.error: offsets that point out of their page
        raise DataError(f"{source}: data.mdb is damaged ({e}); {AGAIN}") from None
    if missing is not None:
        raise DataError(
            f"{source}: half-written: data.mdb has {size} bytes and needs {need} (page {missing} is missing); {AGAIN}"
        )


class LmdbCursor(Cursor):
    """A cursor in a read transaction of its own: it sees the database as it was when the cursor was made."""

    def __init__(self, source: str, env: lmdb.Environment) -> None:
        self.source = source
        self.transaction = env.begin(buffers=True)
        self.cursor = self.transaction.cursor()
        self.first()

    @property
    def key(self) -> bytes:  # type: ignore[override]  # read-only here: nobody sets it
        return bytes(self.cursor.key())

    @property
    def value(self) -> bytes:
        try:
            return bytes(self.cursor.value())
        except lmdb.Error as e:
            raise DataError(f"{self.source}: record {self.key!r} cannot be read ({e}); {AGAIN}") from None

    def take(self, count: int) -> tuple[list[tuple[Buffer, Buffer]], int]:
        """All in one go by LMDB's own iterator: for small records the calls of Python cost more than the reading. Large
        ones are not copied; pages that are not in memory yet are read by whoever decodes them.
        """
        taken: list[tuple[Buffer, Buffer]] = []
        wraps, start = 0, self.key
        try:
            while len(taken) < count:
                taken.extend(islice(self.cursor.iternext(), count - len(taken)))
                wraps += self.next()  # behind the last one taken; or at the end, where the iterator gave up
        except lmdb.Error as e:
            self.cursor.set_key(start)  # read on from here, it fails again
            place = f"the record behind {bytes(taken[-1][0])!r}" if taken else f"record {start!r}"
            raise DataError(f"{self.source}: {place} cannot be read ({e}); {AGAIN}") from None
        return taken, wraps

    def first(self) -> None:
        if not self.cursor.first():
            raise DataError(f"{self.source}: the database is empty: it holds no record")

    def next(self) -> bool:
        if self.cursor.next():
            return False
        self.first()
        return True

    def seek(self, key: bytes) -> None:
        if not self.cursor.set_key(key):
            raise DataError(f"{self.source}: there is no record {key!r}; is it the same database as before?")

    def close(self) -> None:
        self.cursor.close()
        self.transaction.abort()


class LmdbReader(Db):
    """Memory: records are read through a map of the file; its pages belong to the system's cache and can be dropped."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.env: lmdb.Environment | None = _acquire(source)
        self._path = os.path.realpath(source)  # the working directory may be another one when it is closed

    def cursor(self) -> LmdbCursor:
        assert self.env is not None, "the database is closed"
        return LmdbCursor(self.source, self.env)

    def __len__(self) -> int:
        assert self.env is not None, "the database is closed"
        return self.env.stat()["entries"]

    def close(self) -> None:
        if self.env is not None:
            self.env = None
            _release(self._path)


class LmdbWriter(Writer):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        try:
            self.env = lmdb.open(source, map_size=FIRST_MAP)
        except lmdb.Error as e:
            raise DataError(f"{source}: cannot be written as an LMDB ({e})") from None

    def commit(self) -> None:
        while self.pending:
            try:
                with self.env.begin(write=True) as transaction:
                    for key, value in self.pending:
                        transaction.put(key, value)
            except lmdb.MapFullError:
                self.env.set_mapsize(self.env.info()["map_size"] * 2)
                continue
            except (lmdb.Error, OSError) as e:
                first, last = self.pending[0][0], self.pending[-1][0]
                raise DataError(f"{self.source}: records {first!r} to {last!r} could not be written ({e})") from None
            self.pending.clear()

    def last_key(self) -> bytes | None:
        with self.env.begin() as transaction, transaction.cursor() as cursor:
            return cursor.key() if cursor.last() else None

    def __len__(self) -> int:
        return self.env.stat()["entries"]

    def release(self) -> None:
        self.env.close()
