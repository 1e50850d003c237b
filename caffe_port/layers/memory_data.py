"""MemoryData: batches out of arrays that the program hands over."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import log
from caffe_port.layers.base import Layer, Shape, register


@register()
class MemoryData(Layer):
    """The arrays of the last `reset`, batch by batch, for ever; tops (batch, channels, height, width) and (batch,).

    All four sizes of `memory_data_param` must be given. `transform_param` is not applied, as in Caffe's Reset, with a
    warning. forward before `reset` is a LayerError. In Caffe the labels become (batch, 1, 1, 1) with the first forward;
    here they stay as set up.
    Source: memory_data_layer.cpp and Net_SetInputArrays in python/caffe/_caffe.cpp of BVLC Caffe 1.0.
    """

    role = "data"
    bottoms = (0, 0)
    tops = (2, 2)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.memory_data_param
        self.size = (p.channels, p.height, p.width)
        self.batch_size = p.batch_size
        if not self.batch_size or not all(self.size):
            raise self.error("memory_data_param needs batch_size, channels, height and width, all positive")
        self.data: Tensor | None = None
        self.labels: Tensor | None = None
        self.position = 0

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return [(self.batch_size, *self.size), (self.batch_size,)]

    def reset(self, data: Any, labels: Any) -> None:
        """Take (n, channels, height, width) and n labels of any shape; n a multiple of the batch size.

        Arrays that are float32 already are not copied: they must stay as they are while batches are read from them.
        """
        new, new_labels = self._tensor(data), self._tensor(labels)
        if new.dim() != 4 or tuple(new.shape[1:]) != self.size:
            raise self.shape_error(f"data must be (n, {', '.join(map(str, self.size))}), not {tuple(new.shape)}")
        if new_labels.numel() != len(new):
            raise self.shape_error(f"there are {len(new)} arrays and {new_labels.numel()} labels; give one label each")
        if len(new) == 0 or len(new) % self.batch_size:
            raise self.shape_error(f"{len(new)} arrays are no multiple of batch_size {self.batch_size}")
        if self.param.HasField("transform_param"):
            log.warn("memory_data_layer.cpp:83", f"{self.title}: transform_param is not applied to arrays")
        self.data, self.labels, self.position = new, new_labels.reshape(-1), 0

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, Tensor]:
        if self.data is None or self.labels is None:
            raise self.error("it has no data yet; call reset(data, labels) (pycaffe: net.set_input_arrays)")
        batch = slice(self.position, self.position + self.batch_size)
        self.position = (self.position + self.batch_size) % len(self.data)
        return self.data[batch], self.labels[batch]

    @staticmethod
    def _tensor(values: Any) -> Tensor:
        if isinstance(values, Tensor):
            return values.to(torch.float32)
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))
