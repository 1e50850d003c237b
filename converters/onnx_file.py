"""An ONNX model to a file, its weights streamed from where they lie instead of through a protobuf message in memory.

A field of a protobuf message may come in pieces and in any order, so the graph is written as its own message without
initializers, followed by the initializers one by one: a few header bytes made by hand, then the array's memory as it
is. Over 2 GiB, protobuf's limit, the bytes go to `<name>.data` beside the file (ONNX external data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from converters.optional import need

INLINE_LIMIT = 2**31 - 2**24
"""Most bytes of weights that stay inside the file: 2 GiB less 16 MiB for everything else."""
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_RAW_DATA = 7, 5, 9  # field numbers in onnx.proto
SMALL = 1024
"""Bytes below which a tensor always stays inside: shape inference reads constants of shapes there only."""
_ALIGNMENT = 4096  # onnxruntime maps external data by the page


@dataclass(frozen=True)
class Place:
    """Where the bytes of one initializer lie: file name, offset, length."""

    file: str
    offset: int
    length: int


Initializers = Mapping[str, np.ndarray]


def save(model: Any, initializers: Initializers, path: Path, external: bool | None = None) -> dict[str, Place]:
    """Write `model` (ModelProto without initializers) and its `initializers`; where their bytes are, by name.

    `external`: whether the bytes go to a file of their own; None: only where they must.
    """
    if external is None:
        external = sum(a.nbytes for a in initializers.values()) > INLINE_LIMIT
    if external:
        places = _write_data(initializers, path.with_name(path.name + ".data"))
        save_probe(model, initializers, places, path)
        return places
    with path.open("wb") as f:
        return write_inline(model, initializers, f, path.name)


def save_probe(model: Any, initializers: Initializers, places: Mapping[str, Place], path: Path) -> None:
    """Write `model` with small initializers inside; the others are `places` of files in the folder (external data)."""
    heads = []
    for name, array in initializers.items():
        tensor, place = _tensor(name, array), places[name]
        if array.nbytes < SMALL:
            tensor.raw_data = _plain(array).tobytes()
            heads.append(tensor.SerializeToString())
            continue
        tensor.data_location = type(tensor).EXTERNAL
        for key, value in (("location", place.file), ("offset", place.offset), ("length", place.length)):
            tensor.external_data.add(key=key, value=str(value))
        heads.append(tensor.SerializeToString())
    with path.open("wb") as f:
        _write(model, heads, [b""] * len(heads), f)


def write_inline(model: Any, initializers: Initializers, file: BinaryIO, name: str = "") -> dict[str, Place]:
    """The model with its initializers inside, to an open file called `name`."""
    arrays = [_plain(array) for array in initializers.values()]
    named = zip(initializers, arrays, strict=True)
    heads = [_tensor(n, a).SerializeToString() + _tag(_TENSOR_RAW_DATA) + _varint(a.nbytes) for n, a in named]
    offsets = _write(model, heads, [_bytes(array) for array in arrays], file)
    return {n: Place(name, at, a.nbytes) for n, at, a in zip(initializers, offsets, arrays, strict=True)}


def _write(model: Any, heads: Sequence[bytes], bodies: Sequence[Any], file: BinaryIO) -> list[int]:
    """`heads` and `bodies`: each TensorProto as its own bytes and those of its raw data. Where the bodies begin."""
    header, graph = type(model)(), model.graph.SerializeToString()
    header.CopyFrom(model)
    header.ClearField("graph")
    prefixes = [_tag(_GRAPH_INITIALIZER) + _varint(len(h) + len(b)) + h for h, b in zip(heads, bodies, strict=True)]
    size = len(graph) + sum(len(p) + len(b) for p, b in zip(prefixes, bodies, strict=True))
    at = file.write(header.SerializeToString() + _tag(_MODEL_GRAPH) + _varint(size) + graph)
    offsets = []
    for prefix, body in zip(prefixes, bodies, strict=True):
        at += file.write(prefix)
        offsets.append(at)
        at += file.write(body)
    return offsets


def _write_data(initializers: Initializers, path: Path) -> dict[str, Place]:
    places = {}
    with path.open("wb") as f:
        for name, array in initializers.items():
            f.write(b"\0" * (-f.tell() % _ALIGNMENT))
            places[name] = Place(path.name, f.tell(), array.nbytes)
            f.write(_bytes(_plain(array)))
    return places


def _plain(array: np.ndarray) -> np.ndarray:
    """Little-endian and in C order, as raw_data must be."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)


def _bytes(array: np.ndarray) -> memoryview | bytes:
    return array.reshape(-1).view(np.uint8).data if array.size else b""


def _tensor(name: str, array: np.ndarray) -> Any:
    onnx = need("onnx", "onnx")
    return onnx.TensorProto(name=name, dims=array.shape, data_type=onnx.helper.np_dtype_to_tensor_dtype(array.dtype))


def _tag(field: int) -> bytes:
    return _varint(field << 3 | 2)  # wire type 2: length-delimited


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))
