"""Batches out of records: read in order, decode and transform in several threads, one array a batch.

The order of everything random or sequential is decided in one thread (reading, random draws); only pure work on single
records is spread. The number of threads therefore changes nothing but the speed. Of small plain records a batch is a
few calls, over before other threads had begun: there the number of threads counts for nothing.
"""

from __future__ import annotations

import math
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
from caffe_port.data.records import SMALL, Decoded, Records
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
        self.raw_shape, self.first_shape = self._first_shape()
        self.shape = self.first_shape  # of the last batch; an array of `raw_shape` comes to it

    def load(self) -> Batch:
        """The next batch; before it so many are passed over, undecoded, as processes that share the batches take."""
        for _ in range(self.pass_over * self.batch_size):
            self.records.next()
        self.transformer.draws(self.pass_over * self.batch_size)
        self.pass_over = self.pass_between
        records = self.records.take(self.batch_size)
        done = self._together(records)
        if done is None:
            done = self._in_two_steps(records) if self.skip_bad else self._in_one_step(records)
        data, labels = done
        return Batch(data, self.joined(labels), self.state())

    def seen(self, label: Any, shape: tuple[int, ...], draw: Any) -> Any:
        """What is left of a record's label after its array of this shape was transformed by this draw."""
        return label

    def joined(self, labels: list[Any]) -> np.ndarray:
        """The batch's labels."""
        return np.array(labels, np.float32)

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

    def _together(self, records: list[Any]) -> tuple[np.ndarray, list[Any]] | None:
        """All at once where they are stored so; None where each has to be looked at. Their labels are numbers, so there
        is nothing for `seen` to do."""
        found = self.records.together(records)
        if found is None:
            return None
        arrays, labels = found
        shape = self.transformer.out_shape(arrays.shape[1:], self.records.place(records[0]))
        if self.skip_bad and shape != self.first_shape:
            return None
        data = self.arrays.get((len(records), *shape))
        self.transformer.apply_all(arrays, self.transformer.draws(len(records)), data)
        return data, labels

    def _in_one_step(self, records: list[Any]) -> tuple[np.ndarray, list[Any]]:
        """Every record decoded and at once transformed, while its pixels are still in the processor's cache; small ones
        only cut, and the rest done to all of them."""
        draws = self.transformer.draws(self.batch_size)
        data = self.arrays.get((self.batch_size, *self.shape))
        later = self.transformer.same_mean and math.prod(self.shape) < SMALL
        step = self.transformer.cut if later else self.transformer.apply

        def one(i: int) -> tuple[Any, np.ndarray | None]:
            """The label, and the array where it does not fit into `data`."""
            array, label = self.records.decode(records[i])
            if array.shape != self.raw_shape:
                if self.transformer.out_shape(array.shape, self.records.place(records[i])) != self.shape:
                    return self.seen(label, array.shape, draws[i]), array
            step(array, draws[i], data[i])
            return self.seen(label, array.shape, draws[i]), None

        done = self._spread(one, range(self.batch_size), data.size)
        if any(array is not None for _, array in done):
            shapes = [self.shape if a is None else self.transformer.out_shape(a.shape) for _, a in done]
            self.shape = self._one_shape(shapes, records)  # of all of them, so none is in `data`
            self.raw_shape = next(array.shape for _, array in done if array is not None)
            data = self.arrays.get((self.batch_size, *self.shape))
            for i, (_, array) in enumerate(done):
                if array is not None:
                    step(array, draws[i], data[i])
        if later:
            self.transformer.normalise(data)
        return data, [label for label, _ in done]

    def _in_two_steps(self, records: list[Any]) -> tuple[np.ndarray, list[Any]]:
        """All records decoded, others taken for the bad ones, then all transformed."""
        decoded = self._decoded(records)
        data = self.arrays.get((len(decoded), *self.first_shape))
        draws = self.transformer.draws(len(decoded))
        self._spread(lambda i: self.transformer.apply(decoded[i][0], draws[i], data[i]), range(len(decoded)), data.size)
        pairs = zip(decoded, draws, strict=True)
        return data, [self.seen(label, array.shape, draw) for (array, label), draw in pairs]

    def _one_shape(self, shapes: list[tuple[int, int, int]], records: list[Any]) -> tuple[int, int, int]:
        """The shape that all of them have."""
        for own, record in zip(shapes, records, strict=True):
            if own != shapes[0]:
                place, first = self.records.place(record), self.records.place(records[0])
                raise DataError(
                    f"{place}: it is {own} (channels, height, width), {first} of the same batch is {shapes[0]}; "
                    "give a crop_size, resize the pictures, or use batch_size 1"
                )
        return shapes[0]

    def _decoded(self, records: list[Any]) -> list[Decoded]:
        """These decoded, in order, and for each bad one another."""
        good: list[Decoded] = []
        bad_in_a_row = 0
        while records:
            size = len(records) * math.prod(self.first_shape)
            for result in self._spread(self._decode, records, size):
                if not isinstance(result, DataError):
                    good.append(result)
                    bad_in_a_row = 0
                    continue
                bad_in_a_row += 1
                self._check_skip(result, bad_in_a_row)
                self.skipped += 1
                log.warn("data_layer.cpp:107", f"{self.title}: skipped a bad record: {result}")
            records = self.records.take(self.batch_size - len(good))
        return good

    def _decode(self, record: Any) -> Decoded | DataError:
        """The record, or what is wrong with it: the reading thread decides what becomes of it."""
        try:
            decoded = self.records.decode(record)
            place = self.records.place(record)
            shape = self.transformer.out_shape(decoded[0].shape, place)
            if shape != self.first_shape:
                raise DataError(f"{place}: it is {shape} (channels, height, width), the others are {self.first_shape}")
        except DataError as e:
            return e
        return decoded

    def _check_skip(self, error: DataError, in_a_row: int) -> None:
        if not self.skip_bad:
            raise error
        if in_a_row > MOST_BAD:
            raise DataError(f"{error} (the {in_a_row - 1} records before it are bad too: is it the right source?)")

    def _first_shape(self) -> tuple[tuple[int, ...], tuple[int, int, int]]:
        """The first record's shape, before and after the transform; reading starts anew after it."""
        bad = 0
        while True:
            record = self.records.next()
            try:
                array, _ = self.records.decode(record)
                shape = self.transformer.out_shape(array.shape, self.records.place(record))
                break
            except DataError as e:
                bad += 1
                self._check_skip(e, bad)
        self.records.rewind()  # bad ones come again, and are counted then
        return array.shape, shape

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
