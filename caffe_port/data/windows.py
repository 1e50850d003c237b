"""Windows of pictures, for detectors of R-CNN's kind: which there are, which is drawn, how one is cut out.

Source: src/caffe/layers/window_data_layer.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data.datum import channels_first
from caffe_port.data.image import decode, resize
from caffe_port.data.records import Decoded, Records
from caffe_port.errors import DataError


@dataclass(frozen=True)
class Window:
    """A window of picture number `image`, corners included, and its class; 0 is the background."""

    image: int
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True)
class WindowFile:
    images: list[str]
    foreground: list[Window]
    background: list[Window]


@dataclass(frozen=True)
class Cut:
    """How a window becomes a picture of `size` by `size` pixels."""

    size: int
    context: int
    square: bool
    mean: np.ndarray | None
    scale: float


def read_windows(source: str, fg_threshold: float, bg_threshold: float) -> WindowFile:
    """Pictures and windows: `# index`, path, channels, height, width, count, and so many `label overlap x1 y1 x2 y2`.

    A window that overlaps an object by fg_threshold or more is foreground, by less than bg_threshold background; others
    are left out. DataError, with the picture's number, for text that is none of this, another number of channels than 3
    (pictures are read in colour), a foreground window of class 0, and where one of the two kinds is missing.
    """
    try:
        words = iter(Path(source).read_text(encoding="utf-8", errors="surrogateescape").split())
    except OSError as e:
        raise DataError(f"{source}: the window file cannot be read: {e.strerror}") from None
    images: list[str] = []
    foreground: list[Window] = []
    background: list[Window] = []
    for mark in words:
        where = f"{source}: picture number {len(images)}"
        if mark != "#":
            raise DataError(f"{where}: '{mark}' stands where '# index' should; is the number of windows before right?")
        try:
            index, path, channels = int(next(words)), next(words), int(next(words))
            next(words), next(words)  # height and width: nothing depends on them
            found = list(_windows(words, index, int(next(words))))
        except (ValueError, StopIteration, RuntimeError):
            raise DataError(f"{where}: not '# index path channels height width count' and count windows") from None
        if channels != 3:
            raise DataError(f"{where}: it says {channels} channels, but pictures are read in colour; write 3")
        images.append(path)
        for window, overlap in found:
            if overlap >= fg_threshold:
                if window.label <= 0:
                    raise DataError(f"{where}: a window overlaps by {overlap:g}, but has class {window.label}")
                foreground.append(window)
            elif overlap < bg_threshold:
                background.append(Window(index, 0, window.x1, window.y1, window.x2, window.y2))
    for kind, windows in (("foreground", foreground), ("background", background)):
        if not windows:
            raise DataError(f"{source}: it has no {kind} window by these thresholds; there must be one of each kind")
    for window in foreground + background:
        if not 0 <= window.image < len(images):
            raise DataError(f"{source}: '# {window.image}': pictures must be numbered 0, 1, 2 ... as they stand there")
    return WindowFile(images, foreground, background)


def _windows(words: Iterator[str], image: int, count: int) -> Iterator[tuple[Window, float]]:
    for _ in range(count):
        label, overlap = int(next(words)), float(next(words))
        yield Window(image, label, *(int(next(words)) for _ in range(4))), overlap


class WindowRecords(Records):
    """Windows drawn at random: in every batch first the background's, then the foreground's share.

    Sample number i of a run is drawn from `seed`, the rank and i alone, so a state is one number.
    """

    def __init__(
        self, windows: WindowFile, root: str, cut: Cut, batch: int, foreground: int, mirror: bool, cache: bool,
        seed: int,
    ) -> None:
        self.windows = windows
        self.root = root
        self.cut = cut
        self.batch = batch
        self.foreground = foreground
        self.mirror = mirror
        self.seed = seed
        self.count = 0
        self.cached = {path: _read(root + path) for path in windows.images} if cache else {}

    def next(self) -> tuple[Window, bool]:
        draw = np.random.default_rng([self.seed, 2, self.stride[0], self.count])
        is_foreground = self.count % self.batch >= self.batch - self.foreground
        windows = self.windows.foreground if is_foreground else self.windows.background
        window = windows[int(draw.integers(len(windows)))]
        self.count += 1
        return window, self.mirror and bool(draw.integers(2))

    def place(self, record: tuple[Window, bool]) -> str:
        window, _ = record
        return f"{self.root}{self.windows.images[window.image]} ({window.x1}, {window.y1}, {window.x2}, {window.y2})"

    def decode(self, record: tuple[Window, bool]) -> Decoded:
        window, mirror = record
        path = self.windows.images[window.image]
        data = self.cached[path] if self.cached else _read(self.root + path)
        try:
            image = decode(data, True)
            return cut_out(image, window, self.cut, mirror), float(window.label)
        except ValueError as e:
            raise DataError(f"{self.place(record)}: {e}") from None

    def state(self) -> dict[str, Any]:
        return {"count": self.count, "seed": self.seed}

    def restore(self, state: dict[str, Any]) -> None:
        self.count, self.seed = state["count"], state["seed"]

    def rewind(self) -> None:
        self.count = 0

    def close(self) -> None:
        """Files are open only while they are read."""


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise DataError(f"{path}: {e.strerror}") from None


def cut_out(image: np.ndarray, window: Window, cut: Cut, mirror: bool) -> np.ndarray:
    """(3, size, size), float32: the window, stretched; with context or `square` more than the window, see `expanded`.

    What lies outside the picture stays 0; the mean is taken off the picture's own pixels only. ValueError for a window
    that reaches out of the picture (without context, which clips it) or holds no pixel of it.
    """
    size = cut.size
    x1, y1, x2, y2 = window.x1, window.y1, window.x2, window.y2
    left = top = 0
    high = wide = size
    if cut.context > 0 or cut.square:
        (x1, x2), (y1, y2) = expanded(window, cut)
        (x1, x2, left, wide), (y1, y2, top, high) = (
            clipped(low, last, length, size, flipped)
            for low, last, length, flipped in ((x1, x2, image.shape[1], mirror), (y1, y2, image.shape[0], False))
        )
    if not (0 <= x1 <= x2 < image.shape[1] and 0 <= y1 <= y2 < image.shape[0] and high > 0 and wide > 0):
        height, width = image.shape[:2]
        raise ValueError(f"the window does not lie in the picture, which is {width} wide and {height} high")
    picture = resize(np.ascontiguousarray(image[y1 : y2 + 1, x1 : x2 + 1]), high, wide)
    pixels = channels_first(picture[:, ::-1] if mirror else picture).astype(np.float32)
    rows, columns = slice(top, top + high), slice(left, left + wide)
    out = np.zeros((3, size, size), np.float32)
    mean = np.float32(0) if cut.mean is None else cut.mean[:, rows, columns]
    out[:, rows, columns] = (pixels - mean) * np.float32(cut.scale)
    return out


def expanded(window: Window, cut: Cut) -> list[tuple[int, int]]:
    """First and last column, and first and last row, of a window with so much around it that, once it is `size` wide,
    `context` pixels on every side are not the window's own; made square before by its longer side if asked."""
    factor = np.float32(cut.size) / np.float32(cut.size - 2 * cut.context)
    ends = ((window.x1, window.x2), (window.y1, window.y2))
    halves = [np.float32(last - low + 1) / np.float32(2) for low, last in ends]
    centers = [np.float32(low) + half for (low, _), half in zip(ends, halves, strict=True)]
    if cut.square:
        halves = [max(halves)] * 2
    return [
        (rounded(center - half * factor), rounded(center + half * factor))
        for center, half in zip(centers, halves, strict=True)
    ]


def clipped(low: int, last: int, length: int, size: int, flipped: bool) -> tuple[int, int, int, int]:
    """What of `low` to `last` lies in a picture of `length`: its first and last pixel; and in the result, `size` long,
    the pixels before it and its own number. `flipped`: the result's other end counts as before."""
    before, after = max(0, -low), max(0, last - length + 1)
    scale = np.float32(size) / np.float32(last - low + 1)
    first, final = low + before, last - after
    count = rounded(np.float32(final - first + 1) * scale)
    pad = rounded(np.float32(after if flipped else before) * scale)
    return first, final, pad, min(count, size - pad)


def rounded(value: Any) -> int:
    """C's round: halves away from 0."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
