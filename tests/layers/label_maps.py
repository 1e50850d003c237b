"""For the tests of the layers that deliver pictures with a map of labels: pictures, and what they can become."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZES = [(6, 5), (7, 8), (9, 6)]
PICTURES = [np.random.default_rng(i).integers(0, 256, (*s, 3), dtype=np.uint8) for i, s in enumerate(SIZES)]


def mark(picture: np.ndarray) -> np.ndarray:
    """The map of a picture: so of any part of a picture it can be told which map belongs to it."""
    return picture[..., 0] // 2 + 1


def write(folder: Path) -> None:
    """Three pictures of SIZES in list.txt, each with the map `mark(picture)`."""
    for i, picture in enumerate(PICTURES):
        cv2.imwrite(str(folder / f"{i}.png"), picture)
        cv2.imwrite(str(folder / f"m{i}.png"), mark(picture))
    (folder / "list.txt").write_text("".join(f"{i}.png m{i}.png\n" for i in range(3)))
    (folder / "numbers.txt").write_text("".join(f"{i}.png {7 * i}\n" for i in range(3)))


def seg(batch: int = 1, more: str = "label_type: PIXEL", transform: str = "", source: str = "list.txt",
        third: str = "") -> str:  # fmt: skip
    return (f'type: "ImageSegData" top: "data" top: "label" {third} transform_param {{ {transform} }} '
            f'image_data_param {{ source: "{source}" batch_size: {batch} {more} }}')  # fmt: skip


def dense(batch: int = 1, more: str = "", transform: str = "", source: str = "list.txt") -> str:
    return (f'type: "DenseImageData" top: "data" top: "label" transform_param {{ {transform} }} '
            f'dense_image_data_param {{ source: "{source}" batch_size: {batch} {more} }}')  # fmt: skip


def wanted(picture: np.ndarray, factor: float, crop: tuple[int, int], mean: list[float], ignore: int) -> list:
    """Every (data, labels) that a picture can become: each place of the cut, each way round."""
    size = [int(n * factor) for n in picture.shape[:2]]
    big = [cv2.resize(picture, size[::-1]), cv2.resize(mark(picture), size[::-1], interpolation=cv2.INTER_NEAREST)]
    room = [max(n, c) for n, c in zip(size, crop, strict=True)]
    data, labels = np.empty((*room, 3)), np.full(room, ignore, float)
    data[:] = mean
    data[: size[0], : size[1]], labels[: size[0], : size[1]] = big
    found = []
    for row in range(room[0] - crop[0] + 1):
        for column in range(room[1] - crop[1] + 1):
            part = (slice(row, row + crop[0]), slice(column, column + crop[1]))
            cut = [(data[part] - mean).transpose(2, 0, 1), labels[part]]
            found += [cut, [a[..., ::-1] for a in cut]]
    return found


def which(made: list, found: list) -> list[int]:
    return [i for i, (data, labels) in enumerate(found)
            if np.allclose(data, made[0], atol=1e-4) and np.array_equal(labels, made[1])]  # fmt: skip
