"""Caffe's databases: records by key, read in key order for ever, written in batches.

    with open_db("train_lmdb", caffe_pb2.DataParameter.LMDB) as db:
        cursor = db.cursor()
        cursor.key, cursor.value        # the first record
        wrapped = cursor.next()         # after the last comes the first again

    with create_db("new_lmdb") as out:
        out.put(b"00000000", datum.SerializeToString())

Reading creates nothing and changes nothing. A database written here carries a file `.unfinished` until it is closed
properly; reading refuses it until then, because a database that lost its end looks like any other.

Source of the meaning: include/caffe/util/db.hpp, src/caffe/util/db_lmdb.cpp, db_leveldb.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import os
from pathlib import Path

from caffe_port.data.db_base import UNFINISHED, Cursor, Db, Writer
from caffe_port.data.db_leveldb import LevelDbReader, LevelDbWriter
from caffe_port.data.db_lmdb import LmdbReader, LmdbWriter
from caffe_port.data.dropped import close_dropped
from caffe_port.errors import DataError
from caffe_port.proto import caffe_pb2

__all__ = ["LEVELDB", "LMDB", "Cursor", "Db", "Writer", "create_db", "open_db"]

LEVELDB, LMDB = caffe_pb2.DataParameter.LEVELDB, caffe_pb2.DataParameter.LMDB


def open_db(source: str | os.PathLike[str], backend: int = LMDB) -> Db:
    """Open for reading. Raises DataError, naming the source, for what is missing, empty, damaged or of the other
    kind.
    """
    close_dropped()
    source = os.fspath(source)
    folder = Path(source)
    if not source:
        raise DataError("no database is named: set data_param.source")
    if not folder.exists():
        raise DataError(
            f"{source}: there is no such database; paths are relative to the working folder, here {os.getcwd()} "
            "(tools/convert_imageset makes a database)"
        )
    if not folder.is_dir():
        raise DataError(f"{source}: a database is a folder, this is a file; name the folder that holds its data.mdb")
    if (folder / UNFINISHED).exists():
        raise DataError(
            f"{source}: half-written: its writer was interrupted; run it again with resume, or delete "
            f"{folder / UNFINISHED} to use what is there"
        )
    if backend == LMDB:
        if not (folder / "data.mdb").exists():
            raise DataError(f"{source}: not an LMDB: it has no data.mdb{_other(folder, 'CURRENT', 'LEVELDB')}")
        return LmdbReader(source)
    if not (folder / "CURRENT").exists():
        raise DataError(f"{source}: not a LevelDB: it has no file CURRENT{_other(folder, 'data.mdb', 'LMDB')}")
    return LevelDbReader(source)


def create_db(path: str | os.PathLike[str], backend: int = LMDB, resume: bool = False) -> Writer:
    """Open for writing. A path that exists is refused, as by Caffe, unless `resume` says to go on with it."""
    close_dropped()
    path = os.fspath(path)
    folder = Path(path)
    if folder.exists() and not resume:
        raise DataError(f"{path}: exists already; choose another path, delete it, or resume")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{path}: is a file; a database is a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / UNFINISHED).touch()
    except OSError as e:
        raise DataError(f"{path}: cannot be written: {e}") from None
    if backend == LMDB:
        return LmdbWriter(path)
    return LevelDbWriter(path)


def _other(folder: Path, file: str, backend: str) -> str:
    if (folder / file).exists():
        return f"; it looks like the other kind: set data_param.backend: {backend}"
    return "; its folder holds " + (", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing")
