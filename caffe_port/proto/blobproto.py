"""One BlobProto on the wire, both ways: its numbers as a NumPy view of the file's bytes, and an array as bytes to
write.

Reading accepts what any Caffe wrote: floats packed or one by one, in one stretch or several; doubles; `shape` or the
legacy num/channels/height/width (which win where both stand, as in Blob::FromProto); NVCaffe's `raw_data` (its
caffe.proto: fields 10 to 13; 0 double, 1 float, 2 half precision).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffe_port.errors import WireError
from caffe_port.proto import wire

NUM, DATA, DIFF, SHAPE, DOUBLE_DATA, DOUBLE_DIFF, RAW_DATA_TYPE, RAW_DIFF_TYPE, RAW_DATA, RAW_DIFF = (
    1,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
)
LAYOUTS: dict[int, np.dtype[Any]] = {
    DATA: np.dtype("<f4"),
    DIFF: np.dtype("<f4"),
    DOUBLE_DATA: np.dtype("<f8"),
    DOUBLE_DIFF: np.dtype("<f8"),
}
RAW_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f8"), 1: np.dtype("<f4"), 2: np.dtype("<f2")}
MAX_AXES = 32  # kMaxBlobAxes
BLOCK = 1 << 20
Part = bytes | memoryview


@dataclass
class Blob:
    """What a BlobProto holds. `data` and `diff` are read-only views where the file has them in one piece."""

    data: np.ndarray
    diff: np.ndarray | None
    legacy: bool  # its shape is num, channels, height, width


@dataclass
class _Found:
    values: dict[int, list[np.ndarray]] = field(default_factory=dict)
    raw: dict[int, wire.Field] = field(default_factory=dict)
    raw_type: dict[int, int] = field(default_factory=dict)
    dims: list[int] = field(default_factory=list)
    legacy: dict[int, int] = field(default_factory=dict)


def read(buffer: memoryview, start: int, end: int) -> Blob:
    """The BlobProto in buffer[start:end]. Raises WireError for damage and for a shape that its numbers do not fill."""
    found = _scan(buffer, start, end)
    shape = tuple(found.legacy.get(n, 0) for n in (1, 2, 3, 4)) if found.legacy else tuple(found.dims)
    if len(shape) > MAX_AXES:
        raise WireError(f"byte {start}: a blob with {len(shape)} axes; Caffe has at most {MAX_AXES}")
    if any(dim < 0 for dim in shape):
        raise WireError(f"byte {start}: a blob of shape {shape}: an axis cannot be negative")
    data = _values(buffer, found, DOUBLE_DATA, DATA, RAW_DATA, RAW_DATA_TYPE)
    diff = _values(buffer, found, DOUBLE_DIFF, DIFF, RAW_DIFF, RAW_DIFF_TYPE)
    count = math.prod(shape)
    if data is None:
        if count:
            raise WireError(f"byte {start}: a blob of shape {shape} without its {count} numbers")
        data = np.zeros(0, np.float32)
    for name, values in (("data", data), ("diff", diff)):
        if values is not None and values.size != count:
            raise WireError(
                f"byte {start}: a blob of shape {shape} takes {count} numbers, its {name} has {values.size}"
            )
    try:
        return Blob(data.reshape(shape), None if diff is None else diff.reshape(shape), bool(found.legacy))
    except ValueError as e:  # an empty blob whose other axes multiply beyond the address space
        raise WireError(f"byte {start}: a blob of shape {shape}: {e}") from None


def _scan(buffer: memoryview, start: int, end: int) -> _Found:
    found = _Found()
    at = start
    for _ in range(wire.MAX_FIELDS):
        if at >= end:
            return found
        part = wire.field_at(buffer, at, end)
        at = part.end
        number, kind = part.number, part.kind
        if number in LAYOUTS:
            layout = LAYOUTS[number]
            if kind == wire.LENGTH:
                if (part.end - part.start) % layout.itemsize:
                    raise WireError(f"byte {part.at}: {part.end - part.start} bytes of {layout.name} in field {number}")
                values = np.frombuffer(buffer[part.start : part.end], layout)
                found.values.setdefault(number, []).append(values)
            elif kind == (wire.FIXED32 if layout.itemsize == 4 else wire.FIXED64):
                run = _unpacked(buffer, part, end, layout)
                found.values.setdefault(number, []).append(run)
                at = part.at + len(run) * (1 + layout.itemsize)
        elif NUM <= number <= 4 and kind == wire.VARINT:
            found.legacy[number] = _signed(wire.varint(buffer, part.start, end)[0], 32)
        elif number == SHAPE and kind == wire.LENGTH:
            found.dims += _dims(buffer, part)
        elif number in (RAW_DATA, RAW_DIFF) and kind == wire.LENGTH:
            found.raw[number] = part
        elif number in (RAW_DATA_TYPE, RAW_DIFF_TYPE) and kind == wire.VARINT:
            found.raw_type[number] = wire.varint(buffer, part.start, end)[0]
    raise WireError(f"byte {start}: more than {wire.MAX_FIELDS} fields in one blob; that is damage")


def _unpacked(buffer: memoryview, first: wire.Field, end: int, layout: np.dtype[Any]) -> np.ndarray:
    """The numbers from `first` on that stand one by one, each after the same one-byte tag: a strided view, no loop
    over them.
    """
    step = 1 + layout.itemsize
    most = (end - first.at) // step
    tags = np.ndarray((most,), np.uint8, buffer, first.at, (step,))
    count = most
    for i in range(0, most, BLOCK):
        other = np.flatnonzero(tags[i : i + BLOCK] != tags[0])
        if other.size:
            count = i + int(other[0])
            break
    return np.ndarray((count,), layout, buffer, first.start, (step,))


def _dims(buffer: memoryview, shape: wire.Field) -> list[int]:
    """The axes in a BlobShape, packed or not."""
    dims: list[int] = []
    for part in wire.fields(buffer, shape.start, shape.end):
        if part.number != 1:
            continue
        at = part.start
        if part.kind == wire.VARINT:
            dims.append(_signed(wire.varint(buffer, at, part.end)[0], 64))
        while part.kind == wire.LENGTH and at < part.end:
            if len(dims) > MAX_AXES:
                raise WireError(f"byte {part.at}: a blob with more than {MAX_AXES} axes")
            value, at = wire.varint(buffer, at, part.end)
            dims.append(_signed(value, 64))
    return dims


def _signed(value: int, bits: int) -> int:
    value &= 2**bits - 1
    return value - 2**bits if value >= 2 ** (bits - 1) else value


def _values(buffer: memoryview, found: _Found, double: int, single: int, raw: int, raw_type: int) -> np.ndarray | None:
    """Doubles where there are any, else floats, else raw bytes; None where there is nothing."""
    for number in (double, single):
        parts = [part for part in found.values.get(number, []) if part.size]
        if parts:
            return parts[0] if len(parts) == 1 else _read_only(np.concatenate(parts))
    if raw not in found.raw:
        return None
    part = found.raw[raw]
    kind = found.raw_type.get(raw_type, 0)
    if kind not in RAW_TYPES:
        raise WireError(f"byte {part.at}: raw numbers of NVCaffe's type {kind}; known are 0 double, 1 float, 2 half")
    if (part.end - part.start) % RAW_TYPES[kind].itemsize:
        raise WireError(f"byte {part.at}: {part.end - part.start} raw bytes of {RAW_TYPES[kind].name}")
    return np.frombuffer(buffer[part.start : part.end], RAW_TYPES[kind])


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def parts(data: np.ndarray, diff: np.ndarray | None = None, legacy: bool = False) -> list[Part]:
    """The bytes of a BlobProto as Blob::ToProto and C++ protobuf write them, the numbers as views of the arrays.

    float64 is written as double_data, anything else as float. `legacy` writes num, channels, height and width.
    """
    double = data.dtype == np.float64
    if diff is not None and diff.shape != data.shape:
        raise WireError(f"a blob of shape {data.shape} with a diff of shape {diff.shape}")
    if legacy and data.ndim > 4:
        raise WireError(f"a blob of shape {data.shape} has no form with num, channels, height and width")
    out: list[Part] = []
    if legacy:
        dims = (1,) * (4 - data.ndim) + data.shape
        out += [wire.tag(i, wire.VARINT) + wire.encode_varint(dim) for i, dim in enumerate(dims, 1)]
    numbers: list[Part] = []
    for number, values in ((DOUBLE_DATA if double else DATA, data), (DOUBLE_DIFF if double else DIFF, diff)):
        if values is not None and values.size:
            flat = np.ascontiguousarray(values, LAYOUTS[number]).reshape(-1)
            numbers += [wire.tag(number, wire.LENGTH) + wire.encode_varint(flat.nbytes), flat.data.cast("B")]
    shape: list[Part] = []
    if data.ndim and not legacy:
        dims_raw = b"".join(wire.encode_varint(dim) for dim in data.shape)
        inner = wire.tag(1, wire.LENGTH) + wire.encode_varint(len(dims_raw)) + dims_raw
        shape = [wire.tag(SHAPE, wire.LENGTH) + wire.encode_varint(len(inner)) + inner]
    return out + (shape + numbers if double else numbers + shape)


def size(pieces: list[Part]) -> int:
    return sum(len(piece) for piece in pieces)
