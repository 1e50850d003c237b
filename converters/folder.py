"""Whole folders of models at once: each caffemodel with the prototxt that belongs to it, in parallel, resumable."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from caffe_port.errors import CaffeError, ConvertError
from converters import hub

Progress = Callable[[str, int, int], None]
"""Called with a line about the file just done, how many are done, and of how many."""


@dataclass
class FolderReport:
    """What became of each source file: `converted`, `skipped` (its target is newer), `failed` with the reason."""

    converted: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        counts = f"{len(self.converted)} converted, {len(self.skipped)} there already, {len(self.failed)} failed"
        return "\n".join([f"{counts} ({self.seconds:.1f} s)"] + [f"  failed: {k}: {v}" for k, v in self.failed.items()])


def convert_folder(
    source: hub.PathLike,
    target: hub.PathLike,
    to: str = ".onnx",
    jobs: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FolderReport:
    """Convert every model under `source` (files of every format that is read) that is not of the format `to` already
    into the same place under `target`, in that format.

    The net of `x.caffemodel` is `x.prototxt`, else `x_deploy.prototxt` or `deploy.prototxt` beside it, else the one in
    it. A target newer than its source is left as it is, so an interrupted run goes on where it stopped. One file's
    failure is reported and stops no other. `options` as for `convert`; `jobs` None: one process a core.
    """
    start, source, target = time.perf_counter(), Path(source), Path(target)
    if not source.is_dir():
        raise ConvertError(f"{source}: there is no such folder")
    to = to if to.startswith(".") else f".{to}"
    hub.format_of(f"x{to}", "write")
    report, work = FolderReport(), []
    for path in sorted(p for p in source.rglob("*") if p.is_file() and _stem(p) is not None):
        if path.name.lower().endswith(to):
            continue
        made = target / path.relative_to(source).with_name(f"{_stem(path)}{to}")
        if made.exists() and made.stat().st_mtime >= path.stat().st_mtime:
            report.skipped.append(str(path))
        else:
            work.append((path, made))
    doubles = {str(made) for _, made in work if [m for _, m in work].count(made) > 1}
    if doubles:
        raise ConvertError(f"several files would become {', '.join(sorted(doubles))}; rename one of each")
    for done, (name, text, failed) in enumerate(_results(work, options, jobs), 1):
        (report.failed if failed else report.converted)[name] = text
        if progress is not None:
            progress(f"{name}: {'FAILED: ' if failed else ''}{text}", done, len(work))
    report.seconds = time.perf_counter() - start
    return report


def net_of(weights: Path) -> Path | None:
    """The prototxt that belongs to a file of weights, by its name; None: the one inside the file."""
    stem = _stem(weights) or weights.stem
    names = (f"{stem}.prototxt", f"{stem}_deploy.prototxt", f"{stem}-deploy.prototxt", "deploy.prototxt")
    return next((weights.with_name(name) for name in names if weights.with_name(name).is_file()), None)


def _stem(path: Path) -> str | None:
    """The name without the extension of a file that holds a model; None for other files."""
    return next((path.name[: -len(e)] for e in extensions() if path.name.lower().endswith(e)), None)


def extensions() -> list[str]:
    """The endings of files that are models, by what the formats declare, the longest first."""
    readable = {module for module in hub.formats().values() if hasattr(module, "read")}
    found = {e for module in readable for e in getattr(module, "IN_FOLDERS", module.EXTENSIONS)}
    return sorted(found, key=len, reverse=True)


def _results(
    work: list[tuple[Path, Path]], options: dict[str, Any], jobs: int | None
) -> Iterable[tuple[str, str, bool]]:
    jobs = min(jobs or os.cpu_count() or 1, len(work))
    if jobs <= 1:
        yield from (_one(path, made, options) for path, made in work)
        return
    # Not forked: torch's threads do not survive a fork.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_one, path, made, options): path for path, made in work}
        for future in as_completed(futures):
            try:
                yield future.result()
            except Exception as e:  # the process itself died: out of memory, or killed
                yield str(futures[future]), f"{type(e).__name__}: {e}", True


def _one(path: Path, made: Path, options: dict[str, Any]) -> tuple[str, str, bool]:
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        report = hub.convert(path, made, model=net_of(path), **options)
        return str(path), f"{made} ({report.check})", False
    except (CaffeError, OSError) as e:
        return str(path), str(e), True
