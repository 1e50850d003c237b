"""Batches out of records: read in order, decode and transform in several threads, one array a batch.

The order of everything random or sequential is decided in one thread (reading, random draws); only pure work on single
records is spread. The number of threads therefore changes nothing but the speed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe_port import log
from caffe_port.data.records import Decoded, Records
from caffe_port.data.transformer import Transformer
from caffe_port.errors import DataError

MOST_BAD = 1000  # bad records in a row: beyond, the source as a whole is the wrong one
SPREAD_FROM = 1 << 18  # numbers a batch: below, handing the work to threads costs more than it gains
_skip_bad: ContextVar[bool] = ContextVar("skip_bad", default=False)


@contextmanager
def skipping_bad_records() -> Iterator[None]:
    """Nets built inside leave bad records out, log each and count them (`Loader.skipped`), where others stop at the
    first.
    """
    token = _skip_bad.set(True)
    try:
        yield
    finally:
        _skip_bad.reset(token)


@dataclass
class Batch:
    """`data` (batch, channels, height, width) and `labels` (batch,), float32; `after`: the loader's state behind it.

    Arrays, or tensors where they were put into page-locked memory.
    """

    data: Any
    labels: Any
    after: dict[str, Any]


def default_workers() -> int:
    """As many as this process may use cores, 8 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


def _references(arrays: list[np.ndarray]) -> list[int]:
    return [sys.getrefcount(array) for array in arrays]


class Recycled:
    """Arrays of earlier batches that nobody holds any more: memory fresh from the system costs more than filling it.

    Held is what anything refers to, a tensor over an array's memory or a view of it too.
    """

    MOST = 16
    UNHELD = _references([np.empty(0)])[0]  # what Python counts where a list alone refers to an array

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def get(self, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array of this shape, of any values."""
        self.arrays = [array for array in self.arrays if array.shape == shape]
        counts = _references(self.arrays)
        if self.UNHELD in counts:
            return self.arrays[counts.index(self.UNHELD)]
        array = np.empty(shape, np.float32)
        if len(self.arrays) < self.MOST:
            self.arrays.append(array)
        return array


class Loader:
    """Makes batches. All but `close` is for one thread.

    All pictures of a batch must have one shape, that of the first; the next batch may have another, as in Caffe. Made
    under `skipping_bad_records`, records that cannot be used are left out, logged and counted in `skipped`: those that
    do not decode, and those whose shape after the transform is not that of the first record.
    """

    def __init__(self, records: Records, transformer: Transformer, batch_size: int, title: str = "data") -> None:
        self.records = records
        self.transformer = transformer
        self.batch_size = batch_size
        self.title = title
        self.workers = default_workers()
        self.skip_bad = _skip_bad.get()
        self.skipped = 0
        self.pool: ThreadPoolExecutor | None = None
        self.pass_over = self.pass_between = 0
        self.arrays = Recycled()
        self.first_shape = self._first_shape()

    def load(self) -> Batch:
        """The next batch; before it so many are passed over, undecoded, as processes that share the batches take."""
        for _ in range(self.pass_over * self.batch_size):
            self.records.next()
        self.transformer.draws(self.pass_over * self.batch_size)
        self.pass_over = self.pass_between
        decoded = self._decoded()
        places = [place for place, _ in decoded]
        arrays = [array for _, (array, _) in decoded]
        shape = self.transformer.out_shape(arrays[0].shape, places[0])
        data = self.arrays.get((len(arrays), *shape))
        if len({array.shape for array in arrays}) > 1:
            self._check_shapes(arrays, places, shape)
        elif data.size < SPREAD_FROM and not self.transformer.is_random:
            self.transformer.apply_all(arrays, data)
            arrays = []
        draws = self.transformer.draws(len(arrays))
        self._spread(lambda i: self.transformer.apply(arrays[i], draws[i], data[i]), range(len(arrays)), data.size)
        labels = np.array([label for _, (_, label) in decoded], np.float32)
        return Batch(data, labels, self.state())

    def state(self) -> dict[str, Any]:
        """Where reading and the random stream stand: what `restore` makes the next batch the same from."""
        return {"records": self.records.state(), "rng": self.transformer.rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        self.records.restore(state["records"])
        self.transformer.rng.bit_generator.state = state["rng"]

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown()
        self.records.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _check_shapes(self, arrays: list[np.ndarray], places: list[object], shape: tuple[int, int, int]) -> None:
        for array, place in zip(arrays, places, strict=True):
            own = self.transformer.out_shape(array.shape, place)
            if own != shape:
                raise DataError(
                    f"{place}: it is {own} (channels, height, width), {places[0]} of the same batch is {shape}; "
                    "give a crop_size, resize the pictures, or use batch_size 1"
                )

    def _decoded(self) -> list[tuple[object, Decoded]]:
        """As many records as a batch has, decoded, in order."""
        good: list[tuple[object, Decoded]] = []
        bad_in_a_row = 0
        while len(good) < self.batch_size:
            records = [self.records.next() for _ in range(self.batch_size - len(good))]
            size = len(records) * int(np.prod(self.first_shape))
            for (place, _), result in zip(records, self._spread(self._decode, records, size), strict=True):
                if not isinstance(result, DataError):
                    good.append((place, result))
                    bad_in_a_row = 0
                    continue
                bad_in_a_row += 1
                self._check_skip(result, bad_in_a_row)
                self.skipped += 1
                log.warn("data_layer.cpp:107", f"{self.title}: skipped a bad record: {result}")
        return good

    def _decode(self, record: tuple[object, Any]) -> Decoded | DataError:
        """The record, or the error: the reading thread decides what becomes of it."""
        place, payload = record
        try:
            decoded = self.records.decode(place, payload)
            if self.skip_bad:
                shape = self.transformer.out_shape(decoded[0].shape, place)
                if shape != self.first_shape:
                    raise DataError(
                        f"{place}: it is {shape} (channels, height, width), the others are {self.first_shape}"
                    )
        except DataError as e:
            return e
        return decoded

    def _check_skip(self, error: DataError, in_a_row: int) -> None:
        if not self.skip_bad:
            raise error
        if in_a_row > MOST_BAD:
            raise DataError(f"{error} (the {in_a_row - 1} records before it are bad too: is it the right source?)")

    def _first_shape(self) -> tuple[int, int, int]:
        """The transformed shape of the first record; reading starts anew after it."""
        bad = 0
        while True:
            place, payload = self.records.next()
            try:
                array, _ = self.records.decode(place, payload)
                shape = self.transformer.out_shape(array.shape, place)
                break
            except DataError as e:
                bad += 1
                self._check_skip(e, bad)
        self.records.rewind()  # bad ones come again, and are counted then
        return shape

    def _spread(self, work: Callable[[Any], Any], items: Sequence[Any], size: int) -> list[Any]:
        """[work(i) for i in items], in threads where that pays."""
        if self.workers < 2 or len(items) < 2 or size < SPREAD_FROM:
            return [work(item) for item in items]
        if self.pool is None:
            self.pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        count = min(self.workers, len(items))
        edges = [len(items) * i // count for i in range(count + 1)]
        parts = self.pool.map(lambda i: [work(item) for item in items[edges[i] : edges[i + 1]]], range(count))
        return [result for part in parts for result in part]
