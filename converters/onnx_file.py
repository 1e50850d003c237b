"""An ONNX model to a file, its weights streamed from where they lie instead of through a protobuf message in memory.

A field of a protobuf message may come in pieces and in any order, so the graph is written as its own message without
initializers, followed by the initializers one by one: a few header bytes made by hand, then the array's memory as it
is. Over 2 GiB, protobuf's limit, the bytes go to `<name>.data` beside the file (ONNX external data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from converters.optional import need

INLINE_LIMIT = 2**31 - 2**24
"""Most bytes of weights that stay inside the file: 2 GiB less 16 MiB for everything else."""
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_RAW_DATA = 7, 5, 9  # field numbers in onnx.proto
_ALIGNMENT = 4096  # onnxruntime maps external data by the page


def save(model: Any, initializers: Mapping[str, np.ndarray], path: Path, external: bool | None = None) -> None:
    """Write `model` (ModelProto without initializers) and its `initializers`. `external` None: only where needed."""
    if external is None:
        external = sum(a.nbytes for a in initializers.values()) > INLINE_LIMIT
    with path.open("wb") as f:
        if external:
            tensors = _write_external(initializers, path.with_name(path.name + ".data"))
            _write(model, [(tensor.SerializeToString(), b"") for tensor in tensors], f)
        else:
            write_inline(model, initializers, f)


def write_inline(model: Any, initializers: Mapping[str, np.ndarray], file: BinaryIO) -> None:
    """The model with its initializers inside, to an open file."""
    arrays = {name: _plain(array) for name, array in initializers.items()}
    _write(model, [(_inline_header(name, array), _bytes(array)) for name, array in arrays.items()], file)


def _write(model: Any, initializers: Sequence[tuple[bytes, Any]], file: BinaryIO) -> None:
    """`initializers`: the TensorProtos, each as its own bytes and the bytes of its raw data that end it."""
    header, graph = type(model)(), model.graph.SerializeToString()
    header.CopyFrom(model)
    header.ClearField("graph")
    prefixes = [_tag(_GRAPH_INITIALIZER) + _varint(len(head) + len(data)) for head, data in initializers]
    size = len(graph) + sum(len(p) + len(h) + len(d) for p, (h, d) in zip(prefixes, initializers, strict=True))
    file.write(header.SerializeToString() + _tag(_MODEL_GRAPH) + _varint(size) + graph)
    for prefix, (head, data) in zip(prefixes, initializers, strict=True):
        file.write(prefix + head)
        file.write(data)


def _plain(array: np.ndarray) -> np.ndarray:
    """Little-endian and in C order, as raw_data must be."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)


def _bytes(array: np.ndarray) -> memoryview | bytes:
    return array.reshape(-1).view(np.uint8).data if array.size else b""


def _tensor(name: str, array: np.ndarray) -> Any:
    onnx = need("onnx", "onnx")
    return onnx.TensorProto(name=name, dims=array.shape, data_type=onnx.helper.np_dtype_to_tensor_dtype(array.dtype))


def _inline_header(name: str, array: np.ndarray) -> bytes:
    return _tensor(name, array).SerializeToString() + _tag(_TENSOR_RAW_DATA) + _varint(array.nbytes)


def _write_external(initializers: Mapping[str, np.ndarray], path: Path) -> list[Any]:
    tensors = []
    with path.open("wb") as f:
        for name, array in initializers.items():
            array = _plain(array)
            tensor = _tensor(name, array)
            tensor.data_location = type(tensor).EXTERNAL
            f.write(b"\0" * (-f.tell() % _ALIGNMENT))
            for key, value in (("location", path.name), ("offset", f.tell()), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            f.write(_bytes(array))
            tensors.append(tensor)
    return tensors


def _tag(field: int) -> bytes:
    return _varint(field << 3 | 2)  # wire type 2: length-delimited


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))
