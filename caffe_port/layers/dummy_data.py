"""DummyData: tops filled by fillers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from caffe_port.filler import fill
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.proto import caffe_pb2


@register()
class DummyData(Layer):
    """Every top has a shape and a filler of `dummy_data_param`; random ones are drawn anew in each forward.

    `shape`, or the four legacy lists num, channels, height, width: once for all tops or once a top. `data_filler`:
    none (zeros), one for all, or one a top. A `constant` filler fills its top once, at setup; `refill[i]` tells
    whether top i is written again. A driver with persistent blobs must leave the others alone, since a program may
    have put data there. Source: dummy_data_layer.cpp of BVLC Caffe 1.0.
    """

    role = "data"
    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p, tops = self.param.dummy_data_param, len(self.param.top)
        legacy = {name: list(getattr(p, name)) for name in ("num", "channels", "height", "width")}
        if not any(legacy.values()):
            self.shapes = [tuple(int(d) for d in s.dim) for s in self._each("shape", p.shape)]
        elif p.shape:
            raise self.error("shape and the legacy num, channels, height, width exclude each other")
        else:
            columns = [self._each(name, values) for name, values in legacy.items()]
            self.shapes = [tuple(int(d) for d in dims) for dims in zip(*columns, strict=True)]
        if len(p.data_filler) not in (0, 1, tops):
            raise self.error(
                f"give data_filler once, once for each of the {tops} tops, or not at all; "
                f"it is given {len(p.data_filler)} times"
            )
        self.fillers = self._each("data_filler", p.data_filler or [caffe_pb2.FillerParameter(type="constant")])
        self.refill = [f.type != "constant" for f in self.fillers]
        self.constants = [None if again else self._filled(i) for i, again in enumerate(self.refill)]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        return list(self.shapes)

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._filled(i) if c is None else c for i, c in enumerate(self.constants))

    def rewrites(self, top: int) -> bool:
        return self.refill[top]

    def _filled(self, top: int) -> Tensor:
        value = torch.empty(self.shapes[top])
        fill(value, self.fillers[top], where=f"{self.title}: top '{self.param.top[top]}'")
        return value

    def _each(self, name: str, values: Any) -> list[Any]:
        """One value a top."""
        tops = len(self.param.top)
        if len(values) not in (1, tops):
            raise self.error(f"give {name} once, or once for each of the {tops} tops; it is given {len(values)} times")
        return list(values) * (tops if len(values) == 1 else 1)
