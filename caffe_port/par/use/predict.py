"""Attributes and parts of pictures and videos to files: predictions.json, predictions.csv, and pictures to look at."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from caffe_port.atomic import atomic_write
from caffe_port.errors import DataError
from caffe_port.par.datasets.base import LIP_CLASSES
from caffe_port.par.pictures import colour_labels, overlay, save_png
from caffe_port.par.use.model import Model, Prediction
from caffe_port.par.use.sources import Picture, Unread, files, opencv, pictures

HIGH, WIDE, WORDS = 384, 512, 240
"""Height of the drawn pictures, what a view is wide at most, and the attributes' column at least, in pixels."""
LINE, MARGIN = 18, 10
"""Height of a line of the colours' key, which leaves room for Look-Into-Person's twenty classes, and around it."""
INK, PAPER, QUIET = (34, 33, 30), (251, 250, 247), (110, 106, 96)


def predict(
    paths: Sequence[str | Path], model: Model, out: str | os.PathLike[str] | None = None, batch: int = 16,
    threshold: float = 0.5, draw: bool = True, every: int = 1, progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Everything about every picture, as predictions.json lists it: key, path, (time,) attributes, positives, parts; of
    one that cannot be read key, path and error.

    With `out`: predictions.json and .csv; with `draw` also `<key>.png` (the picture, its parts over it, the attributes)
    for pictures and `<key>.mp4` for videos, of which every `every`-th frame is looked at.
    """
    folder = Path(out) if out is not None else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    films: dict[str, Film] = {}
    try:
        for group in _groups(pictures(files(paths), every), batch):
            found = iter(model.predict([p.image for p in group if isinstance(p, Picture)]))
            for picture in group:
                if isinstance(picture, Unread):
                    rows.append({"key": picture.key, "path": str(picture.path), "error": picture.error})
                    continue
                prediction = next(found)
                rows.append(record(picture, prediction, model.classes, threshold))
                if folder is not None and draw:
                    _show(folder, picture, drawn(picture.image, prediction, threshold, model.classes), films)
            if progress:
                progress(len(rows))
    finally:
        for film in films.values():
            film.close()
    if folder is not None:
        with atomic_write(folder / "predictions.json") as f:
            f.write((json.dumps(rows, indent=1) + "\n").encode())
        with atomic_write(folder / "predictions.csv") as f:
            f.write(table(rows).encode())
    return rows


def _show(folder: Path, picture: Picture, shown: np.ndarray, films: dict[str, Film]) -> None:
    """A picture to its file, a frame to its video's film."""
    if picture.video is None:
        save_png(folder / f"{picture.key}.png", shown)
        return
    if picture.video not in films:
        films[picture.video] = Film(folder / f"{picture.video}.mp4", shown.shape[:2], picture.rate)
    films[picture.video].add(shown)


def record(picture: Picture, found: Prediction, classes: Sequence[str], threshold: float) -> dict[str, Any]:
    """One picture's line: probabilities by name, the names above the threshold, the share of the picture of each
    part."""
    row: dict[str, Any] = {"key": picture.key, "path": str(picture.path)}
    if picture.time is not None:
        row["time"] = round(picture.time, 3)
    if found.probability:
        row["positives"] = found.positives(threshold)
        row["attributes"] = {name: round(p, 4) for name, p in found.attributes.items()}
    if found.labels is not None:
        names = part_names(found, classes)
        shares = np.bincount(found.labels.ravel(), minlength=len(names)) / found.labels.size
        row["parts"] = {names[i]: round(float(s), 4) for i, s in enumerate(shares) if s > 0}
    return row


def part_names(found: Prediction, classes: Sequence[str] = ()) -> Sequence[str]:
    """The classes' names where they fit the network, else Look-Into-Person's for twenty, else numbers."""
    count = next(iter(found.scores.values())).shape[0]
    fallback = list(LIP_CLASSES) if count == len(LIP_CLASSES) else [f"class {i}" for i in range(count)]
    return classes if len(classes) == count else fallback


def table(rows: Sequence[dict[str, Any]]) -> str:
    """CSV: key, path, time and error where there are any, and a column an attribute."""
    names = next((list(r["attributes"]) for r in rows if "attributes" in r), [])
    head = ["key", "path", *(extra for extra in ("time", "error") if any(extra in r for r in rows)), *names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([row.get("attributes", {}).get(h, row.get(h, "")) for h in head])
    return out.getvalue()


def drawn(
    image: np.ndarray, found: Prediction, threshold: float = 0.5, classes: Sequence[str] = ()
) -> np.ndarray:
    """The picture, its parts over it with the key of their colours (where there are any), and the attributes above the
    threshold, surest first. As wide for every frame of a film."""
    size = _fitting(image.shape[0], image.shape[1])
    tiles = [np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))]
    if found.labels is not None:
        labels = found.labels_at(size)
        tiles += [overlay(tiles[0], labels), colour_labels(labels)]
    tiles = [np.pad(t, ((0, HIGH - size[0]), (0, 0), (0, 0)), constant_values=255) for t in tiles]
    if found.labels is not None:
        tiles.append(_key(labels, part_names(found, classes)))
    if found.probability:
        tiles.append(_words(found, threshold))
    return np.hstack(tiles)


def _fitting(height: int, width: int) -> tuple[int, int]:
    """The picture's (height, width) in HIGH x WIDE, its aspect kept."""
    scale = min(HIGH / height, WIDE / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _key(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The colours of the classes that the picture shows, by number; where the column has not room for all, of the
    largest."""
    font, room = ImageFont.load_default(13), (HIGH - 2 * MARGIN) // LINE
    width = 2 * MARGIN + 18 + int(max(font.getlength(name) for name in [*names, "99 more"]))
    page = Image.new("RGB", (width, HIGH), PAPER)
    pen = ImageDraw.Draw(page)
    pixels = np.bincount(labels.ravel())
    present = np.flatnonzero(pixels).tolist()
    shown = present if len(present) <= room else sorted(sorted(present, key=lambda c: -pixels[c])[: room - 1])
    for i, number in enumerate(shown):
        y = MARGIN + LINE * i
        colour = tuple(colour_labels(np.array(number)).tolist())
        pen.rectangle((MARGIN, y, MARGIN + 12, y + 12), fill=colour)
        pen.text((MARGIN + 18, y - 1), names[number], fill=INK, font=font)
    if len(shown) < len(present):
        pen.text((MARGIN, MARGIN + LINE * len(shown)), f"and {len(present) - len(shown)} more", fill=QUIET, font=font)
    return np.asarray(page)


def _words(found: Prediction, threshold: float) -> np.ndarray:
    """The attributes above the threshold with a bar of their probability; without any, the likeliest, in grey."""
    font, room = ImageFont.load_default(15), (HIGH - 16) // 26
    width = max(WORDS, 70 + int(max(font.getlength(name) for name in found.attributes)))
    page = Image.new("RGB", (width, HIGH), PAPER)
    pen = ImageDraw.Draw(page)
    ranked = sorted(found.attributes.items(), key=lambda i: -i[1])
    above = [(n, p) for n, p in ranked if p > threshold]
    shown = above if len(above) <= room else above[: room - 1]
    for i, (name, p) in enumerate(shown or ranked[:1]):
        y, ink = 10 + 26 * i, INK if above else (160, 156, 145)
        pen.text((10, y), name, fill=ink, font=font)
        pen.text((width - 10, y), f"{100 * p:.0f}", fill=ink, font=font, anchor="ra")
        pen.line([(10, y + 20), (10 + (width - 20) * p, y + 20)], fill=(31, 111, 139), width=3)
    if len(shown) < len(above):
        pen.text((10, 10 + 26 * len(shown)), f"and {len(above) - len(shown)} more", fill=QUIET, font=font)
    return np.asarray(page)


class Film:
    """An mp4 of `rate` frames a second, written frame by frame; it appears under its name when closed."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        cv2 = opencv()
        self.path, self.part = path, path.with_name(f".{path.stem}.part.mp4")
        self.size = size[0] // 2 * 2, size[1] // 2 * 2
        self.writer = cv2.VideoWriter(str(self.part), cv2.VideoWriter_fourcc(*"mp4v"), rate, self.size[::-1])
        if not self.writer.isOpened():
            raise DataError(f"{path}: OpenCV cannot write this video")

    def add(self, image: np.ndarray) -> None:
        self.writer.write(np.ascontiguousarray(image[: self.size[0], : self.size[1], ::-1]))

    def close(self) -> None:
        self.writer.release()
        if self.part.exists():
            os.replace(self.part, self.path)


def _groups(found: Iterable[Picture | Unread], batch: int) -> Iterable[list[Picture | Unread]]:
    group: list[Picture | Unread] = []
    for picture in found:
        group.append(picture)
        if len(group) == batch:
            yield group
            group = []
    if group:
        yield group
