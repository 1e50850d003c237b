"""A net of stock BVLC layers while a reader of a foreign format writes it: layers with blobs in, a Model out.

Shapes are inferred layer by layer with the runtime's own shape rules, so a reader can ask for the shape of what it has
just made. What a foreign operation needs beyond one layer (trimming, floor pooling, broadcasting) is put together here,
exactly or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from caffe_port.errors import UnsupportedError
from caffe_port.layers import REGISTRY
from caffe_port.proto import caffe_pb2
from caffe_port.proto.binary import LayerBlobs
from converters.model import Model, Shape

LARGEST = 2**31 - 1


class Inexact(Exception):
    """What a foreign operation asks for has no exact form in stock layers; the text says why."""


class Stock:
    """Layer names are made unique; a layer's first top is called as it is.

    shapes   of every blob made so far
    planes   how many pixels a pooling mask's planes have
    taken    of what and which places of an axis a blob is, where it is that (see stock_moves.py)
    """

    def __init__(self, name: str) -> None:
        self.net = caffe_pb2.NetParameter(name=name)
        self.layers: list[LayerBlobs] = []
        self.shapes: dict[str, Shape] = {}
        self._reshaped: dict[str, str] = {}
        self.planes: dict[str, int] = {}
        self.taken: dict[tuple[str, int], tuple[str, Any]] = {}

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
            if prod(shape) > LARGEST:
                raise Inexact(f"a blob of {tuple(shape)}: Caffe's have at most 2**31 - 1 values")
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

    def prune(self, outputs: Iterable[str]) -> None:
        """Drop layers that make nothing for the outputs, and silence what is left over of the others."""
        read, kept, silent = set(outputs), [], []
        for layer in reversed(self.net.layer):
            if layer.type == "Input" or read.intersection(layer.top):
                read.update(layer.bottom)
                kept.append(layer)
                silent += [(layer.name, top) for top in layer.top if top not in read and layer.type != "Input"]
        layers = [type(layer).FromString(layer.SerializeToString()) for layer in reversed(kept)]
        self.net.ClearField("layer")
        self.net.layer.extend(layers)
        names = {layer.name for layer in layers}
        self.layers = [held for held in self.layers if held.name in names]
        for name in dict.fromkeys(name for name, _ in silent):
            self.net.layer.add(
                name=self.free(f"{name}_silence"), type="Silence", bottom=[top for n, top in silent if n == name]
            )

    # -- what takes more than one layer, or a rule ------------------------------------------------------------------

    def power(self, x: str, name: str, scale: float = 1, shift: float = 0, power: float = 1) -> str:
        return self.add("Power", [x], name, power_param={"scale": scale, "shift": shift, "power": power})

    def clip(self, x: str, name: str, low: float, high: float) -> str:
        """Between 0 and a bound: high - relu(high - relu(x)), which every Caffe has; Clip, a late layer, otherwise."""
        if low != 0 or high > 1e30:
            return self.add("Clip", [x], name, clip_param={"min": low, "max": high})
        below = self.power(self.add("ReLU", [x], f"{name}_relu"), f"{name}_below", scale=-1, shift=high)
        return self.power(self.add("ReLU", [below], f"{name}_rest"), name, scale=-1, shift=high)

    def constant(self, value: Any, name: str) -> str:
        """A Parameter layer that holds the numbers and does not learn."""
        array = np.asarray(value)
        single = array.astype(np.float32)
        if array.dtype.kind in "iu" and not np.array_equal(single, array):
            raise Inexact("a constant of whole numbers that a float does not hold")
        options: dict[str, Any] = {"parameter_param": {"shape": {"dim": array.shape}}, "param": [{"lr_mult": 0}]}
        return self.add("Parameter", [], name, [single], **options)

    def like(self, x: str, name: str, value: float) -> str:
        """`value` everywhere, of x's shape: a Power without scale, which does not look at x."""
        return self.power(x, name, scale=0, shift=value)

    def product(self, a: str, b: str, name: str) -> str:
        return self._pair(a, b, name, caffe_pb2.EltwiseParameter.PROD, "Scale", "scale_param")

    def sum(self, a: str, b: str, name: str) -> str:
        return self._pair(a, b, name, caffe_pb2.EltwiseParameter.SUM, "Bias", "bias_param")

    def difference(self, a: str, b: str, name: str) -> str:
        if self.shapes[a] == self.shapes[b]:
            return self.add("Eltwise", [a, b], name, eltwise_param={"coeff": [1, -1]})
        return self.sum(a, self.power(b, f"{name}_minus", scale=-1), name)

    def largest(self, a: str, b: str, name: str) -> str:
        return self._pair(a, b, name, caffe_pb2.EltwiseParameter.MAX)

    def _pair(self, a: str, b: str, name: str, operation: Any, spreading: str = "", message: str = "") -> str:
        """Eltwise of two blobs, spread over each other first; or Scale or Bias, which spread by themselves."""
        wide, narrow = (a, b) if np.prod(self.shapes[a]) >= np.prod(self.shapes[b]) else (b, a)
        shape, whole = self.shapes[narrow], self.shapes[wide]
        own = [i for i, d in enumerate(shape) if d != 1]
        first, past = (own[0], own[-1] + 1) if own else (0, 0)
        axis = len(whole) - len(shape) + first
        if spreading and shape != whole and axis >= first and shape[first:past] == whole[axis : axis + past - first]:
            flat = self.reshape(narrow, f"{name}_factor", shape[first:past])
            options: dict[str, Any] = {message: {"axis": axis if own else 0}}
            return self.add(spreading, [wide, flat], name, **options)
        try:
            both = np.broadcast_shapes(shape, whole)
        except ValueError:
            raise Inexact(f"{whole} and {shape} do not broadcast") from None
        blobs = [self.spread(x, f"{name}_{hint}", both) for x, hint in ((a, "left"), (b, "right"))]
        return self.add("Eltwise", blobs, name, eltwise_param={"operation": operation})

    def spread(self, x: str, name: str, shape: Sequence[int]) -> str:
        """x repeated along the axes where it is 1, as NumPy broadcasts."""
        own = (1,) * (len(shape) - len(self.shapes[x])) + self.shapes[x]
        x = self.reshape(x, f"{name}_axes", own)
        for axis, (here, wanted) in enumerate(zip(own, shape, strict=True)):
            if here != wanted:
                x = self.add("Tile", [x], name, tile_param={"axis": axis, "tiles": wanted})
        return x

    def reshape(self, x: str, name: str, shape: Sequence[int]) -> str:
        """To `shape`; the first axis is copied where it stays, so that the batch size is not written down."""
        shape = tuple(int(d) for d in shape)
        x = self._reshaped.get(x, x)
        if self.shapes[x] == shape:
            return x
        kept = 1 if shape and self.shapes[x] and shape[0] == self.shapes[x][0] else 0
        if 0 in shape[kept:]:
            raise Inexact(f"an axis of size 0 in {shape}: Reshape takes a 0 as a copy")
        top = self.add("Reshape", [x], name, reshape_param={"shape": {"dim": [0] * kept + list(shape[kept:])}})
        self._reshaped[top] = x
        return top

    def trim(self, x: str, name: str, axis: int, start: int, length: int) -> str:
        """`length` places of an axis from `start`: a Slice, whose other tops `prune` sends to Silence."""
        size = self.shapes[x][axis]
        if (start, length) == (0, size):
            return x
        if length < 1:
            raise Inexact("nothing of an axis: no stock layer makes an empty blob")
        points = [p for p in (start, start + length) if 0 < p < size]
        tops = self.add_many(
            "Slice", [x], name, len(points) + 1, slice_param={"axis": axis, "slice_point": points}
        )  # fmt: skip
        return tops[1 if start else 0]

    def spatial(self, x: str, name: str, type: str, options: dict[str, Any], before: Sequence[int],
                after: Sequence[int], blobs: Sequence[Any] = ()) -> str:  # fmt: skip
        """A convolution with pads that may differ at the two ends: padded by more, and what is too much trimmed off.

        Raises Inexact where the stride does not land on the same places then.
        """
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
             wanted: Sequence[int], tops: int = 1) -> list[str]:  # fmt: skip
        """Pooling whose tops are `wanted` high and wide: by Caffe's own rounding, else by `round_mode: FLOOR`.

        The mean divides by the window with its padding, but without what lies past the padding. A second top: the mask.
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
        made = self.add_many("Pooling", [x], name, tops, pooling_param=options)
        self.planes |= {mask: int(np.prod(self.shapes[x][2:])) for mask in made[1:]}
        return made
