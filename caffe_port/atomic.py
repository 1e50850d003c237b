"""A file appears whole or not at all; so do several that belong together."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("waiting", default=None)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write to a temporary file beside `path`; on success flush it to the disk and rename it over `path`.

    On any error (a full disk, an interrupt) the temporary file is removed and what `path` held before stays. Inside
    `together` the renaming waits for the end of its block.
    """
    target = Path(path)
    name = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(fd, "wb") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        waiting = _waiting.get()
        if waiting is not None:
            waiting.append((name, target))
            return
        os.replace(name, target)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


@contextlib.contextmanager
def together(*stale: str | os.PathLike[str]) -> Iterator[None]:
    """Files written inside by `atomic_write` appear when all are complete, in the order in which they were written.

    On an error until then none appears, and all that was there stays. `stale`: what goes just before they appear,
    because older ones of these names must not stand beside the new files, should the process be killed between two.
    """
    waiting: list[tuple[Path, Path]] = []
    token = _waiting.set(waiting)
    try:
        yield
        for path in stale:
            Path(path).unlink(missing_ok=True)
        for name, target in waiting:
            os.replace(name, target)
            _sync_folder(target.parent)
    finally:
        _waiting.reset(token)
        for name, _ in waiting:
            name.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        fd = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
