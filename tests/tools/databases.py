"""All records of an LMDB, as they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb

from caffe_port.data.datum import parse


def raw(path: Path) -> list[tuple[bytes, bytes]]:
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return [(bytes(key), bytes(value)) for key, value in transaction.cursor()]


def datums(path: Path) -> dict[str, Any]:
    return {key.decode(): parse(value) for key, value in raw(path)}
