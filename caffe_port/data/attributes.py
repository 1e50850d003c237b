"""Image files with several labels each, shifted in colour and turned at random: what RAP's MultiImageData reads.

Source: multiimage_data_layer.cpp of RAP's Caffe; Li et al., 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data.image import opencv
from caffe_port.data.records import ImageRecords
from caffe_port.errors import DataError


@dataclass(frozen=True)
class Jitter:
    """What is drawn for every picture. `colors`: standard deviation and mean of the coefficients, eigenvalues (3),
    eigenvectors (3 x 3, as columns); `angles`: least and greatest, in degrees, counter-clockwise."""

    colors: tuple[float, float, np.ndarray, np.ndarray] | None = None
    angles: tuple[float, float] | None = None

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray | None, float | None]:
        """The three numbers to add to blue, green and red, and the angle."""
        shift = angle = None
        if self.colors is not None:
            deviation, mean, values, vectors = self.colors
            shift = (vectors @ (rng.normal(mean, deviation, 3) * values)).astype(np.float32)
        if self.angles is not None:
            angle = float(rng.uniform(*self.angles))
        return shift, angle


class AttributeRecords(ImageRecords):
    """ImageRecords whose labels are rows of `labels`; `lines` number them. `seed` also draws the jitter."""

    def __init__(self, labels: np.ndarray, jitter: Jitter, jitter_seed: int, *arguments: Any) -> None:
        self.labels = labels
        self.jitter = jitter
        self.jitter_seed = jitter_seed
        super().__init__(*arguments)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "jitter": self.jitter_seed}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.jitter_seed = state.get("jitter", self.jitter_seed)

    def next(self) -> Any:
        return *super().next(), self.jitter.draw(np.random.default_rng([self.jitter_seed, 3, self.offset]))

    def decode(self, record: Any) -> Any:
        path, row, (shift, angle) = record
        array, _ = super().decode((path, row))
        if shift is not None:
            if len(array) != 3:
                raise DataError(f"{path}: eig_value and eig_vector shift three channels; it has {len(array)}")
            array = array.astype(np.float32) + shift[:, None, None]
        if angle is not None:
            array = turned(array.astype(np.float32), angle)
        return array, self.labels[row]


def turned(array: np.ndarray, angle: float) -> np.ndarray:
    """Turned by `angle` degrees around (width // 2, height // 2), bilinear, 0 where nothing was."""
    cv2 = opencv()
    if cv2 is None:
        raise DataError("turning pictures (rotation_theta_min, rotation_theta_max) needs OpenCV: "
                        "pip install caffe-port[opencv]")  # fmt: skip
    channels, height, width = array.shape
    matrix = cv2.getRotationMatrix2D((width // 2, height // 2), angle, 1.0)
    picture = cv2.warpAffine(np.ascontiguousarray(array.transpose(1, 2, 0)), matrix, (width, height))
    return picture.reshape(height, width, channels).transpose(2, 0, 1)


def read_attributes(source: str) -> tuple[list[tuple[str, int]], np.ndarray]:
    """Lines `path label label ...`: the paths, each with its row's number, and the labels (lines, labels).

    Empty lines do not count. DataError, with the line's number, for a label that is no whole number, or where the lines
    do not all have the same number of labels, at least one.
    """
    try:
        text = Path(source).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as e:
        raise DataError(f"{source}: the list of images cannot be read: {e.strerror}") from None
    lines: list[tuple[str, int]] = []
    rows: list[list[int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        name, *labels = line.split() or [""]
        if not name:
            continue
        try:
            rows.append([int(value) for value in labels])
        except ValueError:
            wrong = f"'{line.strip()}' is not 'path label label ...' with whole numbers"
            raise DataError(f"{source}:{number}: {wrong}") from None
        if not labels or len(labels) != len(rows[0]):
            wrong = f"{len(labels)} labels; every line must have as many as the first, and at least 1"
            raise DataError(f"{source}:{number}: {wrong}")
        lines.append((name, len(lines)))
    if not lines:
        raise DataError(f"{source}: the list of images is empty; each line is 'path label label ...'")
    return lines, np.array(rows, np.float32)
