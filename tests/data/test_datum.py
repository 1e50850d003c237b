"""Datums: arrays in and out, images with Caffe's channels, and errors that name the record."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffe_port.data.datum import Where, encode_datum, label, layout, parse, to_array
from caffe_port.errors import DataError
from caffe_port.proto import caffe_pb2

PICTURE = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)  # red, green, blue


def png(pixels: np.ndarray = PICTURE) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("array", [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.arange(24, dtype=np.float32).reshape(3, 4, 2) / 7,
    np.ones((1, 1, 3)),
])
def test_round_trip(array: np.ndarray) -> None:
    datum = parse(encode_datum(array, label=-3).SerializeToString())
    got = to_array(datum)
    assert got.dtype == (np.uint8 if array.dtype == np.uint8 else np.float32)
    np.testing.assert_array_equal(got, array.astype(got.dtype))
    assert label(datum) == -3


def test_image_is_blue_green_red() -> None:
    datum = encode_datum(encoded=png(), label=1, shape=(3, 4, 5))
    np.testing.assert_array_equal(to_array(datum), PICTURE[:, :, ::-1].transpose(2, 0, 1))
    assert to_array(datum, color=False).shape == (1, 4, 5)
    gray = encode_datum(encoded=png(PICTURE[:, :, 0]))
    assert to_array(gray).shape == (1, 4, 5)
    np.testing.assert_array_equal(to_array(gray, color=True), np.stack([PICTURE[:, :, 0]] * 3))


def test_bytes_before_floats() -> None:
    datum = encode_datum(np.arange(4, dtype=np.uint8).reshape(1, 2, 2))
    datum.float_data.extend([9] * 4)
    assert to_array(datum).ravel().tolist() == [0, 1, 2, 3]


def bad(**fields: Any) -> Any:
    return caffe_pb2.Datum(**fields)


@pytest.mark.parametrize(("datum", "message"), [
    (bad(channels=2, height=3, width=4, data=bytes(23)), r"it holds 23 bytes, its shape \(2, 3, 4\) needs 24"),
    (bad(channels=2, height=3, width=4, data=bytes(25)), r"it holds 25 bytes, its shape \(2, 3, 4\) needs 24"),
    (bad(channels=1, height=2, width=2, float_data=[1, 2, 3]), r"it holds 3 floats, its shape \(1, 2, 2\) needs 4"),
    (bad(channels=1, height=2, width=2), r"it holds 0 floats, its shape \(1, 2, 2\) needs 4"),
    (bad(height=2, width=2, data=bytes(4)), r"channels, height and width are \(0, 2, 2\); all must be positive"),
    (bad(channels=-1, height=-2, width=2, data=bytes(4)), r"are \(-1, -2, 2\); all must be positive"),
    (bad(channels=3, height=4, width=5, data=png()), r"bytes, its shape .*; an image file in it needs encoded: true"),
    (bad(encoded=True, data=b"not an image"), r"its image does not decode: it is not an image"),
    (bad(encoded=True), r"its image does not decode: it is not an image"),
    (bad(encoded=True, data=png()[:-20]), r"its image does not decode: the PNG is cut short"),
])
def test_bad(datum: Any, message: str) -> None:
    with pytest.raises(DataError, match=r"^db: record 'k': .*" + message):
        to_array(datum, "db: record 'k'")


def test_not_a_datum() -> None:
    with pytest.raises(DataError, match=re.escape("db: record 'k': its 5 bytes are not a Datum")):
        parse(b"\x22\xff\xff\x00\x01", "db: record 'k'")


def test_no_label() -> None:
    with pytest.raises(DataError, match="db: record 'k': it has no label; take the layer's second top away"):
        label(encode_datum(np.ones((1, 1, 1))), "db: record 'k'")


PLAIN = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
PLAIN_BYTES = encode_datum(PLAIN, 3).SerializeToString()
NO_LABEL = encode_datum(PLAIN).SerializeToString()


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (PLAIN_BYTES, True),
        (encode_datum(255 - PLAIN, 300).SerializeToString(), True),
        (encode_datum(PLAIN, -1).SerializeToString(), True),
        (PLAIN_BYTES + b"\x28\x07", True),  # the last label counts
        (PLAIN_BYTES + b"\x38\x00", True),  # encoded: false, as convert_imageset writes it
        (NO_LABEL + b"\x38\x00", False),
        (NO_LABEL, False),
        (NO_LABEL[:-1], False),
        (PLAIN_BYTES[:-1], False),
        (PLAIN_BYTES + b"\x08\x01", False),  # another number of channels
        (PLAIN_BYTES + b"\x38\x01", False),  # encoded
        (PLAIN_BYTES + bytes([0x22, 24]) + bytes(24), False),  # other pixels
        (PLAIN_BYTES[-2:] + NO_LABEL, False),  # the label first
        (encode_datum(PLAIN.reshape(3, 2, 4), 3).SerializeToString(), False),
        (b"", False),
    ],
)
def test_layout_reads_as_the_parser_or_leaves_it(value: bytes, known: bool) -> None:
    plain = layout(parse(PLAIN_BYTES))
    assert plain is not None
    read = plain.read(value)
    among = plain.read_all([PLAIN_BYTES, value, PLAIN_BYTES])
    assert (read is not None) == (among is not None) == known
    if read is not None and among is not None:
        datum = parse(value)
        np.testing.assert_array_equal(read[0], to_array(datum))
        assert read[1] == label(datum)
        assert read[0].dtype == np.uint8 and not read[0].flags.writeable
        np.testing.assert_array_equal(among[0], [PLAIN, to_array(datum), PLAIN])
        assert among[1] == [3, label(datum), 3]
        assert among[0].dtype == np.uint8


def test_no_layout() -> None:
    """Floats and compressed images have none."""
    assert layout(encode_datum(np.ones((1, 2, 2), np.float32), 1)) is None
    assert layout(encode_datum(encoded=b"file", label=1)) is None


def test_only_three_axes() -> None:
    with pytest.raises(DataError, match=r"3 axes .* not of shape \(2, 2\)"):
        encode_datum(np.ones((2, 2)))


@pytest.mark.parametrize(
    "key, shown",
    [(b"00001_cat.jpg", "00001_cat.jpg"), ("貓".encode(), "貓"), (b"\0\n", r"\x00\n"), (b"k" * 600, "k" * 511 + "...")],
)
def test_a_key_is_shown_on_one_line_of_bounded_length(key: bytes, shown: str) -> None:
    assert str(Where("db", key)) == f"db: record '{shown}'"
