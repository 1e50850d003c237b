"""Pictures of data and results: coloured label maps, overlays, heat maps, contact sheets, and PNG for HTML pages."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from caffe_port.atomic import atomic_write

IGNORE = 255

# Twenty colours for Look-Into-Person's classes: hues by part of the body, left limbs warm, right ones cold.
PALETTE = np.array([
    (24, 26, 30), (214, 39, 40), (140, 86, 46), (255, 187, 0), (90, 20, 110), (255, 127, 14), (227, 119, 194),
    (31, 119, 180), (188, 189, 34), (44, 80, 160), (0, 150, 136), (200, 30, 120), (148, 103, 189), (255, 205, 170),
    (255, 96, 96), (90, 200, 255), (250, 160, 60), (60, 130, 220), (160, 240, 90), (30, 160, 60),
], np.uint8)  # fmt: skip
_IGNORED = (110, 110, 116)


def palette(classes: int) -> np.ndarray:
    """uint8 (256, 3): the twenty colours, further ones by the golden angle, IGNORE in grey."""
    table = np.empty((256, 3), np.uint8)
    for i in range(256):
        if i < len(PALETTE):
            table[i] = PALETTE[i]
        else:
            hue, light = (i * 0.618034) % 1.0, 0.45 + 0.4 * ((i * 7) % 5) / 5
            table[i] = [int(255 * light * (0.55 + 0.45 * np.cos(2 * np.pi * (hue - k / 3)))) for k in range(3)]
    table[IGNORE] = _IGNORED
    return table if classes <= IGNORE else table[:IGNORE]


_TABLE = palette(20)


def colour_labels(labels: np.ndarray) -> np.ndarray:
    """Class numbers (H, W) to colours (H, W, 3), uint8."""
    return _TABLE[labels]


def overlay(image: np.ndarray, labels: np.ndarray, strength: float = 0.55) -> np.ndarray:
    """The picture with its classes' colours over it; background and ignored pixels are only dimmed."""
    shown = (labels != 0) & (labels != IGNORE)
    out = image.astype(np.float32) * 0.6
    out[shown] = image[shown] * (1 - strength) + colour_labels(labels)[shown] * strength
    return out.astype(np.uint8)


def heatmap(values: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Numbers (H, W) to colours from dark blue over green and yellow to red, uint8 (H, W, 3); `low` and `high` are the
    ends of the scale, by default the array's own; what is not a number is grey."""
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    low = low if low is not None else float(values[finite].min()) if finite.any() else 0.0
    high = high if high is not None else float(values[finite].max()) if finite.any() else 1.0
    t = np.clip((np.where(finite, values, low) - low) / (high - low if high > low else 1.0), 0, 1)
    stops = np.array([(20, 24, 82), (30, 90, 180), (40, 175, 140), (245, 215, 65), (200, 30, 30)], np.float64)
    at = np.linspace(0, 1, len(stops))
    out = np.stack([np.interp(t, at, stops[:, k]) for k in range(3)], -1).astype(np.uint8)
    out[~finite] = _IGNORED
    return out


def enlarge(image: np.ndarray, height: int, smooth: bool = False) -> np.ndarray:
    """The picture at another height, its aspect kept; pixels stay square unless `smooth`."""
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize((width, height), how))


def blend(image: np.ndarray, heat: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """A heat map (any size) laid over the picture, for activation maps."""
    h, w = image.shape[:2]
    over = np.asarray(Image.fromarray(heat).resize((w, h), Image.Resampling.BICUBIC), np.float32)
    return (image * (1 - strength) + over * strength).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """An RGB or grey uint8 array as the bytes of a PNG file."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(out, "PNG", optimize=True)
    return out.getvalue()


def to_data_uri(image: np.ndarray | bytes) -> str:
    """For the src of an <img>: a picture, or the bytes of a PNG file."""
    data = image if isinstance(image, bytes) else png(image)
    return "data:image/png;base64," + base64.b64encode(data).decode()


def contact_sheet(
    pairs: Sequence[tuple[np.ndarray, np.ndarray | None]], columns: int = 8, height: int = 256, gap: int = 4
) -> np.ndarray:
    """Pictures with their label maps: image, coloured classes and overlay side by side, `columns` of them a row. A
    label map of None leaves its places empty."""
    if not pairs:
        return np.full((height, height, 3), 255, np.uint8)
    tiles = []
    for image, labels in pairs:
        labels = np.full(image.shape[:2], IGNORE, np.uint8) if labels is None else labels
        views = (image, colour_labels(labels), overlay(image, labels))
        tiles.append(np.hstack([enlarge(v, height) for v in views]))
    high, wide = height + gap, max(t.shape[1] for t in tiles) + gap
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * high + gap, min(columns, len(tiles)) * wide + gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = gap + i // columns * high, gap + i % columns * wide
        sheet[y : y + height, x : x + tile.shape[1]] = tile
    return sheet


def legend(names: Mapping[int, str], width: int) -> np.ndarray:
    """Class numbers' colours with their names, in lines of at most `width` pixels, on white."""
    font, line = ImageFont.load_default(13), 22
    places, x, y = [], 6, 6
    for name in names.values():
        wide = 34 + int(font.getlength(name))
        if x > 6 and x + wide > width:
            x, y = 6, y + line
        places.append((x, y))
        x += wide
    page = Image.new("RGB", (width, y + line), "white")
    pen = ImageDraw.Draw(page)
    for (number, name), (left, top) in zip(names.items(), places, strict=True):
        pen.rectangle((left, top, left + 13, top + 13), fill=tuple(_TABLE[number].tolist()))
        pen.text((left + 19, top - 1), name, fill=(34, 33, 30), font=font)
    return np.asarray(page)


def save_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    with atomic_write(path) as f:
        f.write(png(image))
