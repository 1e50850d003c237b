"""Databases: what is written comes back in key order for ever, and what is broken is named and never crashes."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import pytest

from caffe_port.data import db_lmdb
from caffe_port.data.db import LEVELDB, LMDB, create_db, open_db
from caffe_port.data.lmdb_pages import pages_missing
from caffe_port.errors import DataError

Damage = Callable[[Path], object]
GOLDEN = Path(__file__).parents[1] / "golden" / "data" / "raw_lmdb"


def write(path: Path, count: int = 5, size: int = 10) -> Path:
    with create_db(path) as out:
        for i in range(count):
            out.put(b"%03d" % i, bytes([i % 256]) * size)
    return path


def leveldb_package() -> Any:
    """plyvel, or plyvel-next on newer Pythons; skips where neither is installed."""
    if importlib.util.find_spec("plyvel_next"):
        return pytest.importorskip("plyvel_next")
    return pytest.importorskip("plyvel", reason="optional package")


def keys(path: Path, count: int) -> list[bytes]:
    with open_db(path) as db:
        cursor = db.cursor()
        got = []
        for _ in range(count):
            got.append(cursor.key)
            cursor.next()
        cursor.close()
        return got


def test_key_order_and_wrap(tmp_path: Path) -> None:
    with create_db(tmp_path / "db") as out:
        for key in (b"b", b"a", b"z", b"10", b"9"):
            out.put(key, key * 2)
    assert keys(tmp_path / "db", 7) == [b"10", b"9", b"a", b"b", b"z", b"10", b"9"]
    with open_db(tmp_path / "db") as db:
        cursor = db.cursor()
        assert [cursor.next() for _ in range(6)] == [False, False, False, False, True, False]
        cursor.seek(b"b")
        assert (cursor.key, cursor.value) == (b"b", b"bb")
        with pytest.raises(DataError, match=r"db: there is no record b'c'; is it the same database"):
            cursor.seek(b"c")


def check_take(path: Path, backend: int, records: list[tuple[bytes, bytes]]) -> None:
    """The same as one record after the other, however many at once, over the end any number of times."""
    with open_db(path, backend) as db:
        cursor = db.cursor()
        at = 0
        for count in (1, 2, len(records) - 3, 1, len(records), 2 * len(records) + 1, len(records) - 1):
            want = [records[i % len(records)] for i in range(at, at + count)]
            wraps = (at + count) // len(records) - at // len(records)
            taken, wrapped = cursor.take(count)
            assert ([(bytes(key), bytes(value)) for key, value in taken], wrapped) == (want, wraps)
            at += count
            assert cursor.key == records[at % len(records)][0]
        cursor.close()


def test_many_at_once(tmp_path: Path) -> None:
    records = [(b"%03d" % i, bytes([i]) * 3000) for i in range(9)]
    check_take(write(tmp_path / "db", 9, 3000), LMDB, records)


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    """LMDB finds damaged pages only when it comes to them. The error comes again: nothing is read past it."""
    with open_db(write(tmp_path / "db")) as db:
        cursor = db.cursor()
        cursor.take(1)
        real = cursor.cursor

        class Damaged:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def iternext(self) -> Iterator[tuple[bytes, bytes]]:
                yield from islice(real.iternext(), 2)
                raise lmdb.CorruptedError("a bad page")

        cursor.cursor = Damaged()
        for _ in range(2):
            with pytest.raises(DataError, match=r"db: the record behind b'002' cannot be read \(a bad page\); copy it"):
                cursor.take(3)
        assert cursor.key == b"001"
        cursor.close()


def test_reading_changes_nothing() -> None:
    before = sorted((p.name, p.stat().st_mtime_ns) for p in GOLDEN.iterdir())
    keys(GOLDEN, 9)
    assert sorted((p.name, p.stat().st_mtime_ns) for p in GOLDEN.iterdir()) == before


def test_one_database_twice(tmp_path: Path) -> None:
    """A train and a test net may read the same one; the file is closed with the last reader."""
    path = write(tmp_path / "db")
    first, second = open_db(path), open_db(os.path.relpath(path))
    first.close()
    assert second.cursor().key == b"000"
    second.close()
    second.close()
    assert os.path.realpath(path) not in db_lmdb._open  # other tests may hold theirs


def test_reads_while_a_writer_writes(tmp_path: Path) -> None:
    path = write(tmp_path / "db", 3)
    code = f"from caffe_port.data.db import *\nwith create_db({str(path)!r}, resume=True) as o: o.put(b'999', b'')"
    with open_db(path) as db:
        cursor = db.cursor()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
        assert [cursor.next() for _ in range(3)] == [False, False, True], "a cursor sees what was there when made"
        cursor.close()
    assert keys(path, 4) == [b"000", b"001", b"002", b"999"]


def test_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_lmdb, "FIRST_MAP", 1 << 16)
    assert len(keys(write(tmp_path / "db", 40, 10_000), 40)) == 40


def test_interrupted_writer(tmp_path: Path) -> None:
    """Committed batches stay; reading refuses until the writer has gone on and finished."""
    path = tmp_path / "db"
    with pytest.raises(KeyboardInterrupt), create_db(path) as out:
        out.put(b"a", b"1")
        out.commit()
        out.put(b"b", b"2")
        raise KeyboardInterrupt
    with pytest.raises(DataError, match=r"db: half-written: its writer was interrupted; run it again with resume"):
        open_db(path)
    with create_db(path, resume=True) as out:
        assert out.last_key() == b"a"
        assert len(out) == 1
        out.put(b"b", b"2")
    assert keys(path, 2) == [b"a", b"b"]


def no_folder(path: Path) -> None: ...


def a_file(path: Path) -> None:
    path.write_bytes(b"x")


def empty_folder(path: Path) -> None:
    path.mkdir()


def level_db(path: Path) -> None:
    path.mkdir()
    (path / "CURRENT").write_text("MANIFEST-000001\n")


def zero_bytes(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").touch()


def garbage(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(os.urandom(20_000))


def html(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(b"<html>not found</html>")


def cut_to(size: int) -> Damage:
    def cut(path: Path) -> None:
        write(path, 200, 3000)
        os.truncate(path / "data.mdb", size)

    return cut


def no_records(path: Path) -> None:
    write(path, 0)


BROKEN = [
    (no_folder, LMDB, r"there is no such database; paths are relative to the working folder"),
    (a_file, LMDB, r"a database is a folder, this is a file"),
    (empty_folder, LMDB, r"not an LMDB: it has no data.mdb; its folder holds nothing"),
    (level_db, LMDB, r"not an LMDB: it has no data.mdb; it looks like the other kind: set data_param.backend: LEVELDB"),
    (write, LEVELDB, r"not a LevelDB: it has no file CURRENT; it looks like the other kind: set .*backend: LMDB"),
    (zero_bytes, LMDB, r"data.mdb has 0 bytes"),
    (garbage, LMDB, r"data.mdb \(20000 bytes\) is not a whole LMDB file"),
    (html, LMDB, r"data.mdb \(22 bytes\) is not a whole LMDB file"),
    (cut_to(100), LMDB, r"data.mdb \(100 bytes\) is not a whole LMDB file"),
    (cut_to(5000), LMDB, r"half-written: data.mdb has 5000 bytes"),
    (cut_to(8192), LMDB, r"half-written: data.mdb has 8192 bytes and needs \d+ \(page \d+ is missing\); copy it again"),
    (cut_to(300_000), LMDB, r"half-written: data.mdb has 300000 bytes"),
    (no_records, LMDB, r"the database is empty: it holds no record"),
]


@pytest.mark.parametrize(("damage", "backend", "message"), BROKEN, ids=[f"{i}" for i in range(len(BROKEN))])
def test_broken(damage: Damage, backend: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "db"
    damage(path)
    with pytest.raises(DataError, match=re.escape(str(path)) + ": " + message), open_db(path, backend) as db:
        db.cursor()


def test_a_leveldb_whose_log_is_damaged_is_refused_not_shortened(tmp_path: Path) -> None:
    pytest.importorskip("plyvel", reason="optional package")
    path = tmp_path / "db"
    with create_db(path, LEVELDB) as out:
        for i in range(10):
            out.put(b"%d" % i, b"value" * 50)
    (log,) = path.glob("*.log")
    content = bytearray(log.read_bytes())
    content[500] ^= 1
    log.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path)) + r": not a readable LevelDB .*checksum mismatch"):
        open_db(path, LEVELDB)


@pytest.mark.parametrize("size", range(8192, 120_000, 4096))
def test_every_length_is_safe(size: int, tmp_path: Path) -> None:
    """Cut anywhere, a file is refused or reads to its end: LMDB itself would kill the process."""
    path = write(tmp_path / "db", 30, 3000)
    if size >= os.path.getsize(path / "data.mdb"):
        assert len(keys(path, 30)) == 30
        return
    os.truncate(path / "data.mdb", size)
    with pytest.raises(DataError, match="half-written"):
        open_db(path)


def test_healthy_files_may_be_short(tmp_path: Path) -> None:
    """One of the rare whole files that end before the last page their meta page counts."""
    rng = random.Random(285)
    env = lmdb.open(str(tmp_path / "db"), map_size=1 << 28)
    for _ in range(rng.randint(1, 6)):
        with env.begin(write=True) as transaction:
            for _ in range(rng.randint(1, 80)):
                key = b"%d" % rng.randint(0, 40)
                if rng.random() < 0.3:
                    transaction.delete(key)
                else:
                    transaction.put(key, bytes(rng.choice([10, 300, 5000, 90000])))
    need, count = (env.info()["last_pgno"] + 1) * env.stat()["psize"], env.stat()["entries"]
    env.close()
    file = tmp_path / "db" / "data.mdb"
    assert file.stat().st_size < need, "the case has lost its point: find another seed"
    assert pages_missing(str(file), 4096) is None
    assert len(set(keys(tmp_path / "db", count))) == count


def test_writing_refuses(tmp_path: Path) -> None:
    write(tmp_path / "db")
    with pytest.raises(DataError, match="db: exists already; choose another path, delete it, or resume"):
        create_db(tmp_path / "db")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: is a file; a database is a folder"):
        create_db(tmp_path / "file", resume=True)


@pytest.mark.skipif(int(lmdb.__version__.split(".")[0]) < 2, reason="lmdb before 2.0 lets one process open it twice")
def test_open_elsewhere_in_this_process(tmp_path: Path) -> None:
    env = lmdb.open(str(write(tmp_path / "db")))
    with pytest.raises(DataError, match="this process has it open already"):
        open_db(tmp_path / "db")
    env.close()


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = create_db(tmp_path / "db")
    out.put(b"a", b"1")
    out.commit()
    out.put(b"b", b"2")

    class Full:
        def begin(self, write: bool) -> None:
            raise lmdb.DiskError("No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr(out, "env", Full())
    with pytest.raises(DataError, match=r"db: records b'b' to b'b' could not be written \(No space left"):
        out.commit()


def test_leveldb_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level_db(tmp_path / "db")
    for name in ("plyvel", "plyvel_next"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"db: reading a LevelDB needs the package plyvel .*'caffe-port\[leveldb\]'"):
        open_db(tmp_path / "db", LEVELDB)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A LevelDB of three records, in several table files and a log."""
    plyvel = leveldb_package()
    path = tmp_path / "db"
    for keys in ((b"b", b"a"), (b"c",)):
        with create_db(path, LEVELDB, resume=path.exists()) as out:
            for key in keys:
                out.put(key, key * 2)
    assert issubclass(plyvel.CorruptionError, plyvel.Error)
    return path


def test_leveldb(three: Path) -> None:
    """The same meaning as LMDB's; through the package itself."""
    before = {p.name: p.read_bytes() for p in three.iterdir()}
    with open_db(three, LEVELDB) as db, open_db(three, LEVELDB) as again:
        cursor = db.cursor()
        got = []
        for _ in range(4):
            got.append((cursor.key, cursor.value))
            cursor.next()
        assert got == [(b"a", b"aa"), (b"b", b"bb"), (b"c", b"cc"), (b"a", b"aa")]
        cursor.seek(b"c")
        assert (cursor.key, again.cursor().key) == (b"c", b"a")
        with pytest.raises(DataError, match="there is no record b'd'"):
            cursor.seek(b"d")
    assert {p.name: p.read_bytes() for p in three.iterdir()} == before


def test_many_at_once_of_a_leveldb(three: Path) -> None:
    with create_db(three, LEVELDB, resume=True) as out:
        out.put(b"d", b"dd")
    check_take(three, LEVELDB, [(key, key * 2) for key in (b"a", b"b", b"c", b"d")])


def test_a_leveldb_in_another_process(three: Path) -> None:
    """LevelDB locks a folder for one process; a reader here does not mind."""
    plyvel = leveldb_package()
    held = plyvel.DB(str(three))
    try:
        with open_db(three, LEVELDB) as db:
            assert db.cursor().value == b"aa"
    finally:
        held.close()


def test_a_leveldb_that_lost_a_table(three: Path) -> None:
    tables = [p for p in three.iterdir() if p.suffix in (".ldb", ".sst")]
    assert tables
    for table in tables:
        table.unlink()
    with pytest.raises(DataError, match=f"{three}: not a readable LevelDB .*missing files"):
        open_db(three, LEVELDB)


def test_leveldb_to_go_on_with(three: Path) -> None:
    with create_db(three, LEVELDB, resume=True) as out:
        assert (out.last_key(), len(out)) == (b"c", 3)
