"""What the data layers share that deliver pictures with a map of labels each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from caffe_port.data.label_maps import MapLoader, MapRecords, Read, read_pairs
from caffe_port.data.loader import Loader
from caffe_port.data.records import Records
from caffe_port.data.transformer import Transformer
from caffe_port.layers.base import Shape
from caffe_port.layers.prefetching import PrefetchingLayer


class MapDataLayer(PrefetchingLayer):
    """Base of the layers with `options_name`, their message with source, batch_size, ..., and a `reader`."""

    tops = (2, 3)
    options_name: ClassVar[str]
    reader: Callable[[], Read]
    """Gives what makes a map of a line's second word. That must not hold the layer, which its own thread would keep."""

    @property
    def options(self) -> Any:
        return getattr(self.param, self.options_name)

    @property
    def words(self) -> int:
        """How many words a line must have."""
        return 2

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) to resize to."""
        p = self.options
        return (p.new_height, p.new_width) if p.new_height else None

    @property
    def batch_size(self) -> int:
        return self.options.batch_size

    @property
    def is_random(self) -> bool:
        return self.options.shuffle or self.options.rand_skip > 0

    def open(self, transformer: Transformer, seed: int) -> Records:
        p = self.options
        if bool(p.new_height) != bool(p.new_width):
            raise self.error("new_height and new_width belong together: give both or neither")
        lines = read_pairs(p.source, self.words)
        skip = int(np.random.default_rng([seed, 1]).integers(p.rand_skip)) if p.rand_skip else 0
        if skip >= len(lines):
            raise self.error(f"rand_skip {p.rand_skip} drew {skip} lines to skip, {p.source} has {len(lines)}")
        return MapRecords(lines, self.reader(), p.root_folder, self.size, p.is_color, seed if p.shuffle else None, skip)

    def loader(self, records: Records, transformer: Transformer) -> Loader:
        return MapLoader(records, transformer, self.batch_size, title=self.title)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        """Pictures (batch, channels, height, width), maps (batch, 1, height, width), sizes (batch, 1, 1, 2)."""
        shape, n = self.stream.loader.first_shape, self.batch_size
        shapes: list[Shape] = [(n, *shape), (n, 1, *shape[1:]), (n, 1, 1, 2)]
        return shapes[: len(self.param.top)]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        made = super().forward()
        assert isinstance(made, tuple)
        data, labels = made
        n, _, height, width = data.shape
        size = labels[:, -2:].clamp(max=labels.new_tensor([height, width]))
        return (data, labels[:, :-2].reshape(n, 1, height, width), size.reshape(n, 1, 1, 2))[: len(self.param.top)]
