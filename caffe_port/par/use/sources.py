"""Pictures to work on, from files, folders and videos, one at a time and each with a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import DataError
from caffe_port.par.datasets.base import read_image

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True)
class Picture:
    """`image` is uint8 (H, W, 3) RGB. `key` is unique among the pictures of one run; `time` is in seconds of a
    video."""

    key: str
    image: np.ndarray
    path: Path
    time: float | None = None


def files(paths: Sequence[str | Path]) -> list[Path]:
    """The pictures and videos that the paths name; a folder stands for those directly and below in it, sorted."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES + VIDEOS and p.is_file())
            if not inside:
                raise DataError(f"{path}: holds no picture or video ({', '.join(IMAGES + VIDEOS)})")
            found += inside
        elif not path.exists():
            raise DataError(f"{path}: there is no such picture, folder or video")
        elif path.suffix.lower() in IMAGES + VIDEOS:
            found.append(path)
        else:
            raise DataError(f"{path}: neither a picture nor a video by its name ({', '.join(IMAGES + VIDEOS)})")
    return found


def keys(paths: Sequence[Path]) -> list[str]:
    """The stems; where several files share one, the folders before it too, and at last a number.

    >>> keys([Path("a/1.jpg"), Path("b/1.jpg"), Path("b/2.jpg")])
    ['a_1', 'b_1', '2']
    """
    counts: dict[str, int] = {}
    for path in paths:
        counts[path.stem] = counts.get(path.stem, 0) + 1
    out: list[str] = []
    seen: set[str] = set()
    for path in paths:
        key = path.stem if counts[path.stem] == 1 else f"{path.parent.name}_{path.stem}"
        base, n = key, 2
        while key in seen:
            key, n = f"{base}_{n}", n + 1
        seen.add(key)
        out.append(key)
    return out


def pictures(paths: Sequence[Path], every: int = 1) -> Iterator[Picture]:
    """Every picture, and every `every`-th frame of the videos under `<key>_<frame>`."""
    for path, key in zip(paths, keys(paths), strict=True):
        if path.suffix.lower() in VIDEOS:
            yield from frames(path, key, every)
        else:
            yield Picture(key, read_image(path, f"'{key}'"), path)


def frames(path: Path, key: str, every: int = 1) -> Iterator[Picture]:
    """A video's frames by OpenCV; DataError where it cannot be opened."""
    capture = opencv().VideoCapture(str(path))
    if not capture.isOpened():
        raise DataError(f"{path}: OpenCV cannot open this video")
    rate, number = capture.get(5) or 25.0, 0  # 5 is CAP_PROP_FPS
    try:
        while True:
            there, frame = capture.read()
            if not there:
                break
            if number % every == 0:
                yield Picture(f"{key}_{number:06d}", np.ascontiguousarray(frame[:, :, ::-1]), path, number / rate)
            number += 1
    finally:
        capture.release()
    if not number:
        raise DataError(f"{path}: OpenCV reads no frame of this video")


def opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise DataError("videos need OpenCV: pip install caffe-port[opencv]") from None
    return cv2
