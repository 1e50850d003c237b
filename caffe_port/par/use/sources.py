"""Pictures to work on, from files, folders and videos, one at a time and each with a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from caffe_port.errors import DataError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True)
class Picture:
    """`image` is uint8 (H, W, 3) RGB. `key` is unique among the pictures of one run. A frame has its `time` in seconds,
    its video's key and the frames a second that are looked at."""

    key: str
    image: np.ndarray
    path: Path
    time: float | None = None
    video: str | None = None
    rate: float = 0.0


@dataclass(frozen=True)
class Unread:
    """A file that is no picture or video, or a damaged one, and why."""

    key: str
    path: Path
    error: str


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


def pictures(paths: Sequence[Path], every: int = 1) -> Iterator[Picture | Unread]:
    """Every picture, and every `every`-th frame of the videos under `<key>_<frame>`. One that cannot be read is told
    and does not keep the others from being read."""
    for path, key in zip(paths, keys(paths), strict=True):
        try:
            if path.suffix.lower() in VIDEOS:
                yield from frames(path, key, every)
            else:
                yield Picture(key, upright(path), path)
        except DataError as error:
            yield Unread(key, path, str(error))


def upright(path: Path) -> np.ndarray:
    """uint8 (H, W, 3) RGB of a picture as a viewer shows it: turned by its EXIF orientation, transparent parts on
    white, sixteen bits a pixel brought to eight. DataError for what is missing or no picture.

    A data set's own pictures are read without turning (`datasets.base.read_image`): their labels lie as stored.
    """
    try:
        with Image.open(path) as stored:
            picture = ImageOps.exif_transpose(stored)
            if picture.mode.startswith("I"):  # Pillow's own conversion cuts off at 255
                return np.repeat((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8)[..., None], 3, -1)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such picture") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large to be read safely ({error}); make it smaller first") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: cannot be read as a picture: {error}") from error


def frames(path: Path, key: str, every: int = 1) -> Iterator[Picture]:
    """A video's frames by OpenCV; DataError where it cannot be opened or holds none."""
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
                image = np.ascontiguousarray(frame[:, :, ::-1])
                yield Picture(f"{key}_{number:06d}", image, path, number / rate, key, rate / every)
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
