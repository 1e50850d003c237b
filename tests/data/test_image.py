"""Decoding and resizing: Pillow and NumPy give what OpenCV gives, and cut files are errors."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from caffe_port.data import image

RNG = np.random.default_rng(1)
NOISE = RNG.integers(0, 256, (23, 19, 4), dtype=np.uint8)
SMOOTH = cv2.resize(NOISE, (95, 115), interpolation=cv2.INTER_CUBIC)


def file(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(out, kind, **options)
    return out.getvalue()


def turned(orientation: int) -> Any:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


FILES = {
    "png": file(NOISE[:, :, :3], "PNG"), "png gray": file(NOISE[:, :, 0], "PNG"), "png alpha": file(NOISE, "PNG"),
    "png gray alpha": file(NOISE[:, :, :2].copy(), "PNG"),
    "png palette": file(Image.fromarray(NOISE[:, :, :3]).quantize(20), "PNG"),
    "png palette alpha": file(Image.fromarray(NOISE[:, :, :3]).quantize(20), "PNG", transparency=3),
    "png bits": file(NOISE[:, :, 0] > 99, "PNG"), "bmp": file(NOISE[:, :, :3], "BMP"),
    "webp": file(NOISE[:, :, :3], "WEBP", lossless=True), "tiff": file(NOISE[:, :, :3], "TIFF"),
    "jpeg": file(SMOOTH[:, :, :3], "JPEG", quality=80), "jpeg gray": file(SMOOTH[:, :, 0], "JPEG"),
    "jpeg progressive": file(SMOOTH[:, :, :3], "JPEG", progressive=True),
    "jpeg turned": file(SMOOTH[:, :, :3], "JPEG", exif=turned(6)),
    "jpeg mirrored": file(SMOOTH[:, :, :3], "JPEG", exif=turned(5), subsampling=0),
}


@pytest.mark.parametrize("color", [None, True, False])
@pytest.mark.parametrize("name", FILES)
def test_pillow_as_opencv(name: str, color: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    want = image.decode(FILES[name], color)
    monkeypatch.setattr(image, "opencv", lambda: None)
    np.testing.assert_array_equal(image.decode(FILES[name], color), want)


def test_resize_as_opencv() -> None:
    """Every number of 400 random sizes, one to four channels; among them the half, where OpenCV takes another rule."""
    for i in range(400):
        rows, columns, height, width = RNG.integers(1, 50, 4).tolist()
        if i % 8 == 0:
            rows, columns = 2 * height, 2 * width
        channels = (1, 3, 4)[i % 3]
        picture = RNG.integers(0, 256, (rows, columns, channels), dtype=np.uint8)
        picture = picture[:, :, 0].copy() if channels == 1 else picture
        np.testing.assert_array_equal(
            image.resize_linear(picture, height, width), cv2.resize(picture, (width, height)),
            err_msg=f"{rows} x {columns} to {height} x {width}, {channels} channels",
        )


def test_resize_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    want = image.resize(NOISE, 9, 31)
    monkeypatch.setattr(image, "opencv", lambda: None)
    np.testing.assert_array_equal(image.resize(NOISE, 9, 31), want)
    assert image.resize(NOISE, *NOISE.shape[:2]) is NOISE


THUMBNAIL = file(SMOOTH[:, :, :3], "JPEG", comment=FILES["jpeg gray"][:6000])  # an end mark inside a header


@pytest.mark.parametrize("with_opencv", [True, False])
@pytest.mark.parametrize(("data", "message"), [
    (b"", "not an image"), (b"GIF89a", "not an image"), (b"\x89PNG\r\n\x1a\nIEND", "not an image"),
    (FILES["png"][:-12], "the PNG is cut short"), (FILES["png"][:100], "the PNG is cut short"),
    (FILES["jpeg"][:-2], "the JPEG is cut short"), (FILES["jpeg"][:1500], "the JPEG is cut short"),
    (FILES["jpeg"][:30], "the JPEG is cut short"), (THUMBNAIL[:-100], "the JPEG is cut short"),
    (file(NOISE[:, :, 0].astype(np.uint16) * 77, "PNG"), "it holds uint16; only 8 bits a channel"),
])
def test_bad(data: bytes, message: str, with_opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_opencv:
        monkeypatch.setattr(image, "opencv", lambda: None)
    with pytest.raises(ValueError, match=message):
        image.decode(data, None)


@pytest.mark.parametrize("with_opencv", [True, False])
def test_a_flipped_bit_in_a_png_is_found(with_opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is in the pixels: a PNG has checksums, which JPEG and BMP do not."""
    if not with_opencv:
        monkeypatch.setattr(image, "opencv", lambda: None)
    first = FILES["png"].index(b"IDAT")
    for at in range(first, len(FILES["png"]) - 12, 97):
        data = bytearray(FILES["png"])
        data[at] ^= 1
        with pytest.raises(ValueError, match="damaged|cut short|not an image|cannot decode"):
            image.decode(bytes(data), True)


def test_thumbnail_is_no_end() -> None:
    assert image.decode(THUMBNAIL, True).shape == SMOOTH.shape[:2] + (3,)


@pytest.mark.parametrize("with_opencv", [True, False])
def test_sixteen_bits_forced(with_opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_opencv:
        monkeypatch.setattr(image, "opencv", lambda: None)
    wide = NOISE[:, :, 0].astype(np.uint16) * 256 + 130
    np.testing.assert_array_equal(image.decode(file(wide, "PNG"), False), NOISE[:, :, 0])
