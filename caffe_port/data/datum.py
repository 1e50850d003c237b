"""Datum: Caffe's record of one array with one label, and arrays.

A Datum holds raw bytes in the order (channels, height, width), or a compressed image, or floats. Images are stored with
their channels as blue, green, red, because Caffe reads them with OpenCV.
Source: src/caffe/util/io.cpp, data_transformer.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from caffe_port.data.db_base import Buffer
from caffe_port.data.image import decode
from caffe_port.errors import DataError
from caffe_port.proto import caffe_pb2

LONGEST_KEY = 511  # of an LMDB, as it is compiled by default


class Where(NamedTuple):
    """How errors name a record; the text is made only when it is needed."""

    source: str
    key: bytes

    def __str__(self) -> str:
        more = "..." if len(self.key) > LONGEST_KEY else ""  # a damaged LMDB page has keys of any size and content
        shown = self.key[:LONGEST_KEY].decode("utf-8", "backslashreplace")
        return f"{self.source}: record '{shown if shown.isprintable() else repr(shown)[1:-1]}{more}'"


def parse(value: Buffer, place: object = "datum") -> Any:
    """The Datum in these bytes. `place`, as text, starts the error's message."""
    datum = caffe_pb2.Datum()
    try:
        datum.ParseFromString(value)
    except DecodeError:
        raise DataError(f"{place}: its {len(value)} bytes are not a Datum; make the record anew") from None
    return datum


def to_array(datum: Any, place: object = "datum", color: bool | None = None) -> np.ndarray:
    """The array (channels, height, width): uint8 for bytes and images, float32 for floats; read-only or a view at
    times.

    `color` is for compressed images: True three channels, False one, None as stored; the numbers of channels, rows and
    columns that the Datum gives do not count then, as in Caffe. Where a Datum has bytes and floats, the bytes count.
    DataError: an image that does not decode, as many numbers as the shape does not have (Caffe would read past the
    end).
    """
    data = datum.data  # once: every look at the field copies it
    if datum.encoded:
        return _decoded(data, place, color)
    channels, height, width = shape = (datum.channels, datum.height, datum.width)
    if channels <= 0 or height <= 0 or width <= 0:
        raise DataError(f"{place}: channels, height and width are {shape}; all must be positive")
    if data:
        values = np.frombuffer(data, np.uint8)
    else:
        floats = datum.float_data
        values = np.fromiter(floats, np.float32, len(floats))
    count = channels * height * width
    if len(values) != count:
        kind = "bytes" if data else "floats"
        is_file = data.startswith((b"\x89PNG", b"\xff\xd8\xff"))
        hint = "; an image file in it needs encoded: true" if is_file else ""
        raise DataError(f"{place}: it holds {len(values)} {kind}, its shape {shape} needs {count}{hint}")
    return values.reshape(shape)


def _decoded(data: bytes, place: object, color: bool | None) -> np.ndarray:
    try:
        image = decode(data, color)
    except ValueError as e:
        raise DataError(f"{place}: its image does not decode: {e}") from None
    return channels_first(image)


def channels_first(image: np.ndarray) -> np.ndarray:
    """(height, width[, channels]) as (channels, height, width), without a copy."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def label(datum: Any, place: object = "datum") -> float:
    """The label. Caffe takes 0 where there is none; here that is a DataError, since it would train on a wrong class."""
    if not datum.HasField("label"):
        raise DataError(f"{place}: it has no label; take the layer's second top away, or write the labels (0 too)")
    return float(datum.label)


class Layout(NamedTuple):
    """Where the pixels lie in the records of a database that are written alike: for small ones the general parser costs
    more than the pixels.
    """

    head: bytes  # what comes before the pixels: the shape, and how many bytes follow
    end: int  # where the pixels end
    shape: tuple[int, int, int]

    def read(self, value: Buffer) -> tuple[np.ndarray, float] | None:
        """What `parse`, `to_array` and `label` make of a record of this layout; None for any other."""
        head, end, shape = self
        if len(value) - end > LONGEST_LABEL or value[: len(head)] != head:
            return None
        label = _only_label(bytes(value[end:]))
        return None if label is None else (np.ndarray(shape, np.uint8, value, len(head)), label)

    def read_all(self, values: Sequence[Buffer]) -> tuple[np.ndarray, list[float]] | None:
        """`read` for many at once, the arrays in one (records, channels, height, width); None where one is of another
        layout.
        """
        head, end, shape = self
        lengths = set(map(len, values))
        if max(lengths) - end > LONGEST_LABEL:
            return None
        labels = [label for label in map(_only_label, [bytes(value[end:]) for value in values]) if label is not None]
        if len(labels) < len(values):
            return None
        joined = b"".join(values if len(lengths) == 1 else [value[:end] for value in values])
        rows = np.frombuffer(joined, np.uint8).reshape(len(values), -1)
        if (rows[:, : len(head)] != np.frombuffer(head, np.uint8)).any():
            return None
        return rows[:, len(head) : end].reshape(-1, *shape), labels


LONGEST_LABEL = 13  # bytes: its tag, at most ten of a negative number, and the two that say: not compressed


def layout(datum: Any) -> Layout | None:
    """The layout that protobuf's own writers give a Datum of this shape with bytes; None where it holds none."""
    if datum.encoded or not datum.data:
        return None
    size = len(datum.data)
    shape = datum.channels, datum.height, datum.width
    whole = caffe_pb2.Datum(channels=shape[0], height=shape[1], width=shape[2], data=bytes(size)).SerializeToString()
    return Layout(whole[: len(whole) - size], len(whole), shape)


@functools.lru_cache(1 << 14)
def _only_label(tail: bytes) -> float | None:
    """The label where a record's last bytes, a Datum by themselves, hold a label and at most `encoded: false`, which
    convert_imageset writes out.
    """
    datum = caffe_pb2.Datum()
    try:
        datum.ParseFromString(tail)
    except DecodeError:
        return None
    if datum.encoded or [field.name for field, _ in datum.ListFields() if field.name != "encoded"] != ["label"]:
        return None
    return float(datum.label)


def encode_datum(
    array: np.ndarray | None = None,
    label: int | None = None,
    *,
    encoded: bytes | None = None,
    shape: Iterable[int] | None = None,
) -> Any:
    """A Datum of an array (channels, height, width), uint8 as bytes and anything else as floats; or of an image file's
    bytes.

    `shape`: (channels, height, width) to note beside the bytes of an image file. With label None it has no label.
    """
    datum = caffe_pb2.Datum()
    if encoded is not None:
        datum.encoded = True
        datum.data = encoded
        if shape is not None:
            datum.channels, datum.height, datum.width = shape
    else:
        assert array is not None, "an array or the bytes of an image file"
        if array.ndim != 3:
            raise DataError(f"a Datum holds an array of 3 axes (channels, height, width), not of shape {array.shape}")
        datum.channels, datum.height, datum.width = array.shape
        if array.dtype == np.uint8:
            datum.data = array.tobytes()
        else:
            datum.float_data.extend(array.ravel().astype(np.float32).tolist())
    if label is not None:
        datum.label = label
    return datum
