"""Figures 4 and 5 of the paper from any trained model, as PNG files.

Figure 4: pictures and their segmentation truth. Figure 5: a picture, its true and predicted segmentations of both
stages in shades of grey, and the activation maps before pooling of some attributes in grey, where darker means less
likely.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from caffe_port.errors import DataError
from caffe_port.par.pictures import IGNORE, colour_labels, enlarge, save_png
from caffe_port.par.report_pictures import shown_attributes

HIGH, GAP, LINE, WORDS = 320, 8, 15, 12
INK, PAPER = (34, 33, 30), (255, 255, 255)


def write_figures(
    pictures: Mapping[str, np.ndarray], attributes: Sequence[str], rates: Sequence[float], classes: int,
    out: str | Path, maps: int = 6,
) -> list[Path]:  # fmt: skip
    """`pictures` as `Evaluation.save_pictures` keeps them. figure5.png always; figure4.png where there is a truth."""
    if "image" not in pictures or not len(pictures["image"]):
        raise DataError("there is no picture to draw; evaluate with pictures=N")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    if "seg" in pictures:
        save_png(folder / "figure4.png", figure4(pictures["image"], pictures["seg"]))
        made.append(folder / "figure4.png")
    save_png(folder / "figure5.png", figure5(pictures, attributes, rates, classes, maps))
    return [*made, folder / "figure5.png"]


def figure4(images: np.ndarray, labels: np.ndarray, columns: int = 6) -> np.ndarray:
    """Pictures, each with its segmentation truth on its right."""
    pairs = [(a, b) for a, b in zip(images, labels, strict=True) if (b != IGNORE).any()]
    tiles = [np.hstack([tall(a), tall(colour_labels(b))]) for a, b in pairs]
    return grid([(tile, "") for tile in tiles], columns)


def figure5(
    pictures: Mapping[str, np.ndarray], attributes: Sequence[str], rates: Sequence[float], classes: int, maps: int = 6
) -> np.ndarray:
    """A row a picture: input, segmentations in grey, then maps of its rarest attributes, stage I above stage II."""
    rows = []
    second = "att_y" if "att_y" in pictures else "par2_map"
    present = [b for b in ("par1_map", second) if b in pictures]
    for i in range(len(pictures["image"])):
        picture = pictures["image"][i]
        tiles = [(tall(picture), "input")]
        for name, caption in (("seg", "truth"), ("seg1", "stage I"), ("seg2", "stage II")):
            if name in pictures:
                tiles.append((tall(grey_labels(pictures[name][i], classes)), caption))
        for a in shown_attributes(pictures, i, rates, maps):
            drawn = [grey_map(pictures[b][i][a], picture.shape[:2]) for b in present]
            high = (HIGH - GAP) // 2 if len(drawn) > 1 else HIGH
            column = [enlarge(d, high) for d in drawn]
            if len(column) > 1:
                column.insert(1, np.full((HIGH - 2 * high, column[0].shape[1], 3), 255, np.uint8))
            mark = "" if pictures["truth"][i][a] == 1 else " (absent)"
            tiles.append((np.vstack(column), f"{attributes[a]}{mark}"))
        rows.append(grid(tiles, len(tiles)))
    if len(present) > 1:
        said = "Maps: stage I above, stage II below, each from its own least (black) to its own largest value (white)."
        rows.append(grid([(np.full((1, max(r.shape[1] for r in rows) - 2 * GAP, 3), 255, np.uint8), said)], 1))
    wide = max(r.shape[1] for r in rows)
    return np.vstack([np.pad(r, ((0, 0), (0, wide - r.shape[1]), (0, 0)), constant_values=255) for r in rows])


def grey_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Class numbers as shades from black (background) to white, as the paper prints them; 255 is mid-grey."""
    shades = np.rint(labels.astype(np.float32) * 255 / max(classes - 1, 1))
    shades[labels == IGNORE] = 128
    return np.repeat(shades.clip(0, 255).astype(np.uint8)[..., None], 3, -1)


def grey_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An activation map at the picture's size, its least value black and its largest white."""
    low, high = float(values.min()), float(values.max())
    shades = ((values - low) / (high - low if high > low else 1) * 255).astype(np.uint8)
    wide = Image.fromarray(shades).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(wide)[..., None], 3, -1)


def tall(image: np.ndarray) -> np.ndarray:
    return enlarge(image, HIGH)


def grid(tiles: Sequence[tuple[np.ndarray, str]], columns: int) -> np.ndarray:
    """Tiles with captions below them, `columns` a row, on white."""
    if not tiles:
        return np.full((HIGH, HIGH, 3), 255, np.uint8)
    font = ImageFont.load_default(WORDS)
    captions = [wrapped(words, tile.shape[1], font) for tile, words in tiles]
    wide, high = max(t.shape[1] for t, _ in tiles) + GAP, max(t.shape[0] for t, _ in tiles) + GAP
    caption = LINE * max(len(lines) for lines in captions)
    rows = -(-len(tiles) // columns)
    if rows == 1:  # each as wide as it is
        edges = np.cumsum([GAP, *(t.shape[1] + GAP for t, _ in tiles)]).tolist()
    else:
        edges = [GAP + wide * c for c in range(min(columns, len(tiles)) + 1)]
    sheet = Image.new("RGB", (edges[-1], rows * (high + caption) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, ((tile, _), lines) in enumerate(zip(tiles, captions, strict=True)):
        x, y = edges[i % columns], GAP + i // columns * (high + caption)
        sheet.paste(Image.fromarray(tile), (x, y))
        for n, line in enumerate(lines):
            pen.text((x, y + tile.shape[0] + 3 + LINE * n), line, fill=INK, font=font)
    return np.asarray(sheet)


def wrapped(words: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """The words in lines that fit, broken at spaces, before capitals and behind hyphens, and elsewhere only where a
    piece alone is too wide. Nothing is cut off.

    >>> wrapped("upperBodyShortSleeve absent", 70, ImageFont.load_default(11))
    ['upperBody', 'ShortSleeve', 'absent']
    """
    lines: list[str] = []
    for piece in re.findall(r"\s|[^\s]+?(?=\s|$|(?<=[a-z-])(?=[A-Z]))", words):
        if lines and font.getlength(lines[-1] + piece) <= width:
            lines[-1] += piece
            continue
        piece = piece.strip()
        while piece:
            fits = next((n for n in range(len(piece), 1, -1) if font.getlength(piece[:n]) <= width), 1)
            lines.append(piece[:fits])
            piece = piece[fits:]
    return [line.rstrip() for line in lines]
