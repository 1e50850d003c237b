"""A loader's batches, made ahead of time, with a state that speaks of the last batch delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from caffe_port.data.dropped import later
from caffe_port.data.loader import Batch, Loader
from caffe_port.data.prefetch import Prefetcher


class Stream:
    """Batches in order. The thread starts with the first `next`; up to `depth` batches are made ahead (0: no thread).

    `pinned`: the thread copies them into page-locked memory, from which a GPU fetches them while it computes. That
    memory is torch's, whose allocator gives it out again only behind the transfers that were started from it (it
    records an event for each). The loader's own arrays, which it uses again, nobody reads after the thread's copy.
    """

    def __init__(self, loader: Loader, depth: int, name: str) -> None:
        self.loader = loader
        self.depth = depth
        self.name = name
        self.prefetcher: Prefetcher[Batch] | None = None
        self.closed = False
        self.pinned = False
        self.delivered = loader.state()

    def next(self) -> Batch:
        if self.prefetcher is None:
            self.prefetcher = Prefetcher(self._load, self.depth, self.name)
        batch = self.prefetcher.get()
        self.delivered = batch.after
        return batch

    def state(self) -> dict[str, Any]:
        """What `restore` needs to deliver next what follows the last delivered batch: plain numbers and strings."""
        return self.delivered

    def restore(self, state: dict[str, Any]) -> None:
        self._stop()
        self.loader.restore(state)
        self.delivered = state

    def change(self, what: Callable[[Loader], None]) -> None:
        """Change the loader between two batches; those made ahead are thrown away and made again."""
        self._stop()
        self.loader.restore(self.delivered)
        what(self.loader)
        self.delivered = self.loader.state()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._stop()
            self.loader.close()

    def drop(self) -> None:
        """For the garbage collector: the thread stops; the rest is closed when something is opened next."""
        if self.prefetcher is not None:
            self.prefetcher.shared.stop()
        later(self.close)

    def _load(self) -> Batch:
        batch = self.loader.load()
        if self.pinned:
            batch.data, batch.labels = (torch.from_numpy(a).pin_memory() for a in (batch.data, batch.labels))
        return batch

    def _stop(self) -> None:
        if self.prefetcher is not None:
            self.prefetcher.close()
            self.prefetcher = None
