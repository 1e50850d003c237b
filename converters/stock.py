"""A net of stock BVLC layers while a reader of a foreign format writes it: layers with blobs in, a Model out.

Shapes are inferred layer by layer with the runtime's own shape rules, so a reader can ask for the shape of what it has
just made. What a foreign operation needs beyond one layer (trimming, floor pooling, broadcasting) is put together here,
exactly or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe_port.errors import UnsupportedError
from caffe_port.layers import REGISTRY
from caffe_port.proto import caffe_pb2
from caffe_port.proto.binary import LayerBlobs
from converters.model import Model, Shape


class Inexact(Exception):
    """What a foreign operation asks for has no exact form in stock layers; the text says why."""


class Stock:
    """`shapes`: of every blob made so far. Layer names are made unique; a layer's first top is called as it is."""

    def __init__(self, name: str) -> None:
        self.net = caffe_pb2.NetParameter(name=name)
        self.layers: list[LayerBlobs] = []
        self.shapes: dict[str, Shape] = {}

    def model(self) -> Model:
        return Model(self.net, self.layers)

    def input(self, name: str, shape: Sequence[int]) -> str:
        layer = self.net.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add().dim.extend(shape)
        self.shapes[name] = tuple(shape)
        return name

    def add(self, type: str, bottoms: Sequence[str], name: str, blobs: Sequence[Any] = (), **messages: Any) -> str:
        return self.add_many(type, bottoms, name, 1, blobs, **messages)[0]

    def add_many(
        self, type: str, bottoms: Sequence[str], name: str, tops: int, blobs: Sequence[Any] = (), **messages: Any
    ) -> list[str]:
        """Add a layer; `messages` are its parameter messages as dicts. Gives the names of its tops."""
        name = self.free(name)
        names = [name] if tops == 1 else [f"{name}_{i}" for i in range(tops)]
        param = caffe_pb2.LayerParameter(name=name, type=type, bottom=list(bottoms), top=names, **messages)
        shapes = [self.shapes[b] for b in bottoms]
        with torch.device("meta"):
            layer = REGISTRY[type](param, caffe_pb2.TEST)
            layer.setup(shapes)
        if [tuple(b.shape) for b in layer.blobs] != [np.shape(b) for b in blobs]:
            raise UnsupportedError(f"{layer.title}: wants blobs {[tuple(b.shape) for b in layer.blobs]}")
        for top, shape in zip(names, layer.top_shapes(shapes), strict=True):
            self.shapes[top] = tuple(shape)
        self.net.layer.add().CopyFrom(param)
        if blobs:
            arrays = [np.require(b, np.float32, "C") for b in blobs]
            self.layers.append(LayerBlobs(name, type, arrays, [None] * len(arrays)))
        return names

    def free(self, name: str) -> str:
        name, number, taken = name or "layer", 2, {layer.name for layer in self.net.layer} | set(self.shapes)
        free = name
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        return free

    def rename(self, blob: str, to: str) -> None:
        for layer in self.net.layer:
            for wires in (layer.bottom, layer.top):
                wires[:] = [to if wire == blob else wire for wire in wires]
        self.shapes[to] = self.shapes.pop(blob)

    # -- what takes more than one layer, or a rule ------------------------------------------------------------------

    def power(self, x: str, name: str, scale: float = 1, shift: float = 0, power: float = 1) -> str:
        return self.add("Power", [x], name, power_param={"scale": scale, "shift": shift, "power": power})

    def clip(self, x: str, name: str, low: float, high: float) -> str:
        """Between 0 and a bound: high - relu(high - relu(x)), which every Caffe has; Clip, a late layer, otherwise."""
        if low != 0 or high > 1e30:
            return self.add("Clip", [x], name, clip_param={"min": low, "max": high})
        below = self.power(self.add("ReLU", [x], f"{name}_relu"), f"{name}_below", scale=-1, shift=high)
        return self.power(self.add("ReLU", [below], f"{name}_rest"), name, scale=-1, shift=high)

    def product(self, a: str, b: str, name: str) -> str:
        if self.shapes[a] == self.shapes[b]:
            return self.add("Eltwise", [a, b], name, eltwise_param={"operation": caffe_pb2.EltwiseParameter.PROD})
        return self._broadcast("Scale", "scale_param", a, b, name)

    def sum(self, a: str, b: str, name: str) -> str:
        if self.shapes[a] == self.shapes[b]:
            return self.add("Eltwise", [a, b], name)
        return self._broadcast("Bias", "bias_param", a, b, name)

    def _broadcast(self, type: str, message: str, a: str, b: str, name: str) -> str:
        """Scale and Bias of two bottoms: the smaller is spread over axes at its end, and before its first."""
        wide, narrow = (a, b) if np.prod(self.shapes[a]) >= np.prod(self.shapes[b]) else (b, a)
        shape, whole = self.shapes[narrow], self.shapes[wide]
        axis, kept = len(whole) - len(shape), len(shape)
        while kept and shape[kept - 1] == 1:
            kept -= 1
        if axis < 0 or not kept or shape[:kept] != whole[axis : axis + kept]:
            raise Inexact(f"{whole} and {shape} broadcast in a way that no stock layer does")
        flat = self.reshape(narrow, f"{name}_factor", shape[:kept])
        options: dict[str, Any] = {message: {"axis": axis}}
        return self.add(type, [wide, flat], name, **options)

    def reshape(self, x: str, name: str, shape: Sequence[int]) -> str:
        """To `shape`; the first axis is copied where it stays, so that the batch size is not written down."""
        if self.shapes[x] == tuple(shape):
            return x
        same = bool(shape) and shape[0] == self.shapes[x][0]
        dims = [0 if same and i == 0 else int(d) for i, d in enumerate(shape)]
        return self.add("Reshape", [x], name, reshape_param={"shape": {"dim": dims}})

    def trim(self, x: str, name: str, axis: int, start: int, length: int) -> str:
        """`length` places of an axis from `start`: a Slice, whose other tops go to Silence."""
        size = self.shapes[x][axis]
        if (start, length) == (0, size):
            return x
        points = [p for p in (start, start + length) if 0 < p < size]
        tops = self.add_many(
            "Slice", [x], name, len(points) + 1, slice_param={"axis": axis, "slice_point": points}
        )  # fmt: skip
        wanted = tops[1 if start else 0]
        self._silence([top for top in tops if top != wanted], name)
        return wanted

    def _silence(self, tops: list[str], name: str) -> None:
        layer = self.net.layer.add(name=self.free(f"{name}_silence"), type="Silence")
        layer.bottom.extend(tops)

    def spatial(self, x: str, name: str, type: str, options: dict[str, Any], before: Sequence[int],
                after: Sequence[int], blobs: Sequence[Any] = ()) -> str:  # fmt: skip
        """A convolution with pads that may differ at the two ends: padded by more, and what is too much trimmed off."""
        strides, wanted = options["stride"], []
        pads = [max(pair) for pair in zip(before, after, strict=True)]
        for b, p, s in zip(before, pads, strides, strict=True):
            if (p - b) % s:
                raise Inexact(f"pads {list(before)} and {list(after)} cannot be made even at stride {list(strides)}")
        top = self.add(type, [x], name, blobs, convolution_param={**options, "pad": pads})
        for i, (b, a, p, s) in enumerate(zip(before, after, pads, strides, strict=True)):
            dilation = options.get("dilation", [1] * len(pads))[i]
            extent = dilation * (options["kernel_size"][i] - 1) + 1
            wanted.append(((p - b) // s, (self.shapes[x][i + 2] + b + a - extent) // s + 1))
        for i, (start, length) in enumerate(wanted):
            top = self.trim(top, f"{name}_trim", i + 2, start, length)
        return top

    def pool(self, x: str, name: str, kind: str, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int],
             wanted: Sequence[int]) -> str:  # fmt: skip
        """Pooling whose tops are `wanted` high and wide: by Caffe's own rounding, else by `round_mode: FLOOR`.

        The mean divides by the window with its padding, but without what lies past the padding.
        """
        options: dict[str, Any] = {"pool": getattr(caffe_pb2.PoolingParameter, kind)}
        options |= {"kernel_h": kernel[0], "kernel_w": kernel[1], "stride_h": stride[0], "stride_w": stride[1]}
        options |= {"pad_h": pad[0], "pad_w": pad[1]}
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise Inexact(f"pooling pads by {list(pad)}, which Caffe wants below the kernel {list(kernel)}")
        outer = [self.shapes[x][i + 2] + 2 * pad[i] - kernel[i] for i in (0, 1)]
        up = [-(-o // s) + 1 for o, s in zip(outer, stride, strict=True)]
        up = [
            n - 1 if p and (n - 1) * s >= size + p else n
            for n, s, p, size in zip(up, stride, pad, self.shapes[x][2:], strict=True)
        ]
        if up != list(wanted):
            if [o // s + 1 for o, s in zip(outer, stride, strict=True)] != list(wanted):
                raise Inexact(f"pooling to {list(wanted)}: Caffe's rounding gives {up}, and floor gives another size")
            options["round_mode"] = caffe_pb2.PoolingParameter.FLOOR
        return self.add("Pooling", [x], name, pooling_param=options)
