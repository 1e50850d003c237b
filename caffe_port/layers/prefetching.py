"""What the layers share that read records ahead of time: Data and ImageData."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port import log
from caffe_port.data.dropped import close_dropped
from caffe_port.data.loader import Loader
from caffe_port.data.records import Records
from caffe_port.data.stream import Stream
from caffe_port.data.transformer import Transformer
from caffe_port.errors import DataError
from caffe_port.layers.base import TRAIN, Layer, Shape


class PrefetchingLayer(Layer):
    """Base of layers that deliver batches of records, made in threads ahead of time.

    For the program around the net: `verbose` logs each new start of the source; `set_rank` shares the records among
    processes; `skipped` counts what `data.loader.skipping_bad_records` leaves out; `state` and `restore` make a run go
    on exactly where it was. The first record is read at setup, for the shape; the thread starts with the first
    forward.

    Seeded runs repeat: everything random comes from one number drawn from torch's global generator at setup (only where
    something is random, as in Caffe), whatever the number of threads.
    """

    role = "data"
    bottoms = (0, 0)
    verbose: bool = False
    size_place: ClassVar[str] = ""
    """Where Caffe's own layer logs the size of its data."""

    def transformer(self) -> Transformer:
        """What every record goes through."""
        return Transformer(self.param.transform_param, self.phase, self.title)

    def open(self, transformer: Transformer, seed: int) -> Records:
        """The records, from the first on. `seed` for their order, where `is_random`."""
        raise NotImplementedError(type(self).__name__)

    def loader(self, records: Records, transformer: Transformer) -> Loader:
        """What makes batches of them."""
        return Loader(records, transformer, self.batch_size, title=self.title)

    @property
    def batch_size(self) -> int:
        raise NotImplementedError(type(self).__name__)

    @property
    def is_random(self) -> bool:
        """Whether the order of the records is random."""
        raise NotImplementedError(type(self).__name__)

    @property
    def depth(self) -> int:
        """How many batches may be made ahead: 4, as in Caffe, where only Data can set it."""
        return 4

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if self.batch_size < 1:
            raise self.error("batch_size must be given, and at least 1")
        close_dropped()
        try:
            transformer = self.transformer()
            random = transformer.is_random or self.is_random
            self.seed = int(torch.randint(0, 2**31 - 1, ())) if random else 0
            transformer.rng = np.random.default_rng([self.seed, 0])
            records = self.open(transformer, self.seed)
            try:
                loader = self.loader(records, transformer)
            except BaseException:
                records.close()
                raise
        except DataError as e:
            raise self._named(e) from None
        if self.size_place:
            size = (self.batch_size, *loader.first_shape)
            self.notes.append((self.size_place, f"output data size: {','.join(map(str, size))}"))
        self.stream = Stream(loader, self.depth, f"prefetch {self.name}")
        weakref.finalize(self, self.stream.drop)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        """(batch, channels, height, width) of the first record, and (batch,)."""
        shapes: list[Shape] = [(self.batch_size, *self.stream.loader.first_shape), (self.batch_size,)]
        return shapes[: len(self.param.top)]

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The next batch, float32, in host memory. DataError names the source and the record."""
        if self.stream.closed:
            raise self.error("it was closed; build the net anew to read again")
        try:
            batch = self.stream.next()
        except DataError as e:
            raise self._named(e) from e
        data = torch.as_tensor(batch.data)
        return data if len(self.param.top) == 1 else (data, torch.as_tensor(batch.labels))

    # -- for the program around the net ------------------------------------------------------------------------------

    def set_rank(self, rank: int, world: int) -> None:
        """This is process `rank` of `world`: in TRAIN it reads records rank, rank + world, ...; in TEST it reads all.

        Random crops and mirrors differ among the ranks. Source: `DataLayer::Skip` of BVLC Caffe 1.0.
        """
        if self.phase != TRAIN:
            return

        def change(loader: Loader) -> None:
            loader.records.stride = rank, world
            loader.transformer.rng = np.random.default_rng([self.seed, rank])

        self.stream.change(change)

    def share_batches(self, rank: int, world: int) -> None:
        """Deliver batches rank, rank + world, ... only, each the same as a process by itself would have."""

        def change(loader: Loader) -> None:
            loader.pass_over, loader.pass_between = rank, world - 1

        self.stream.change(change)

    def pin(self, wanted: bool = True) -> None:
        """Deliver batches in page-locked memory, from which a GPU fetches them while it computes. `Net.to` asks."""
        if wanted != self.stream.pinned:
            self.stream.change(lambda loader: None)
            self.stream.pinned = wanted

    @property
    def skipped(self) -> int:
        """Bad records left out so far (batches made ahead count)."""
        return self.stream.loader.skipped

    def set_workers(self, count: int) -> None:
        """How many threads decode and transform what is compressed or large; at first one a core, 8 at most."""
        self.stream.change(lambda loader: setattr(loader, "workers", count))

    def state(self) -> dict[str, Any]:
        """Where source and random stream stand behind the last delivered batch: plain numbers and strings."""
        return self.stream.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Deliver next what followed `state`. DataError when the source does not have that place."""
        try:
            self.stream.restore(state)
        except DataError as e:
            raise self._named(e) from None

    def rewind(self) -> None:
        """From the first record again; the random stream goes on."""
        self.stream.change(lambda loader: loader.records.rewind())

    def close(self) -> None:
        """Stop the threads and let go of the files. A layer that is dropped does so by itself."""
        self.stream.close()

    def restarts(self) -> Callable[[], None]:
        """What a database's records call when they start again: it logs that, if `verbose`."""
        me = weakref.ref(self)  # a strong one would keep a dropped layer alive through its own thread

        def restarted() -> None:
            layer = me()
            if layer is not None and layer.verbose:
                log.info("data_layer.cpp:73", "Restarting data prefetching from start.")

        return restarted

    def _named(self, error: DataError) -> DataError:
        text = str(error)
        return error if text.startswith(self.title) else DataError(f"{self.title}: {text}")
