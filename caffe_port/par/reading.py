"""Samples of a data set in a given order, read by one process or several."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence

from caffe_port.par.datasets.base import Dataset, Sample, Size

_BLOCK = 128  # samples in flight, so that memory stays bounded however slow the reader of this iterator is

_job: tuple[Dataset, Size] | None = None  # a worker's own, set once when it starts


def read_all(dataset: Dataset, indices: Sequence[int], size: Size, workers: int = 1) -> Iterator[Sample]:
    """The samples in the order of `indices`. An error of a worker is raised here, at its sample's turn."""
    if workers <= 1 or len(indices) < 2 * workers:
        for index in indices:
            yield dataset.read(index, size)
        return
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else None)
    with context.Pool(workers, _start, (dataset, size)) as pool:
        for start in range(0, len(indices), _BLOCK):
            yield from pool.imap(_read, indices[start : start + _BLOCK], chunksize=4)


def _start(dataset: Dataset, size: Size) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends the pool
    _job = dataset, size


def _read(index: int) -> Sample:
    assert _job is not None
    dataset, size = _job
    return dataset.read(index, size)
