"""Pictures with a map of labels of their size, for segmentation: the same cut, scale and mirroring for both.

Source: image_seg_data_layer.cpp and data_transformer.cpp of DeepLab and PSPNet, dense_image_data_layer.cpp of SegNet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data.image import decode, resize, resize_nearest
from caffe_port.data.loader import Loader
from caffe_port.data.records import ImageRecords, numbered_lines
from caffe_port.data.transformer import Draw, Transformer
from caffe_port.errors import DataError

Read = Callable[[str, tuple[int, int]], np.ndarray]
"""The map (height, width), uint8, of a line's second word and the picture's size."""


class MapRecords(ImageRecords):
    """Lines `picture map`; `size`: (height, width) to resize both to, or None."""

    def __init__(self, lines: list[tuple[str, str]], read: Read, *rest: Any) -> None:
        self.read = read
        super().__init__(lines, *rest)

    def decode(self, record: Any) -> Any:
        path, label = record
        array, _ = super().decode((path, 0))
        labels = self.read(label, array.shape[1:])
        if labels.shape != array.shape[1:]:
            raise DataError(
                f"{path}: it is {array.shape[1]} x {array.shape[2]}, its map {label} is {labels.shape[0]} x "
                f"{labels.shape[1]} (height x width); they must be of one size"
            )
        return array, labels


def read_map(
    name: str, size: tuple[int, int], root: str, resized: tuple[int, int] | None, nearest: bool
) -> np.ndarray:
    """The grey picture `root` + `name`, (height, width), resized if wanted; DataError where it cannot be read.

    `size`, its picture's, is what comes out, or does not fit.
    """
    path = root + name
    try:
        labels = decode(Path(path).read_bytes(), False)
    except (OSError, ValueError) as e:
        raise DataError(f"{path}: {e.strerror if isinstance(e, OSError) else e}") from None
    labels = labels.reshape(labels.shape[:2])
    return labels if resized is None else (resize_nearest if nearest else resize)(labels, *resized)


class MapTransformer(Transformer):
    """Scale, pad, crop and mirror a picture and its map alike; mean and scale are the picture's only.

    `scale_factors`: each picture is resized by one of them, drawn at random: the picture bilinearly, the map to its
    nearest pixel. What is smaller than the crop is padded below and to the right, the picture by the mean and the map
    by `ignore_label`, unless `pads` is false.
    """

    def __init__(self, param: Any, phase: int, title: str, ignore_label: int = 255, pads: bool = True) -> None:
        super().__init__(param, phase, title)
        self.factors = [np.float32(factor) for factor in param.scale_factors]
        self.ignore_label = ignore_label
        self.pads = pads and any(self.crop)
        self.is_random = self.is_random or len(self.factors) > 1
        if self.factors and not any(self.crop):
            raise DataError(f"{title}: scale_factors make pictures of several sizes; give a crop_size")
        if param.HasField("mean_file"):
            raise DataError(f"{title}: pictures with a map of labels have no mean_file; give mean_value")

    def draws(self, count: int) -> list[Draw | None]:
        """Mirror, row, column, and which of scale_factors."""
        return self.rng.random((count, 4)).tolist() if self.is_random else [None] * count

    def out_shape(self, shape: Sequence[int], place: object = "") -> tuple[int, int, int]:
        if self.pads:  # to no less than the crop
            shape = (shape[0], *(max(n, crop) for n, crop in zip(shape[1:], self.crop, strict=True)))
        return super().out_shape(shape, place)

    def cut(self, array: np.ndarray, draw: Draw | None, out: np.ndarray) -> tuple[np.ndarray, slice, slice]:
        plane = array.transpose(1, 2, 0)
        fill = np.broadcast_to(self.mean_values if len(self.mean_values) else np.float32(0), (len(array),))
        plane = self.fitted(plane, draw, resize, fill)
        np.copyto(out, plane.transpose(2, 0, 1), casting="unsafe")
        return out, slice(None), slice(None)

    def labels(self, labels: np.ndarray, draw: Draw | None) -> np.ndarray:
        """What becomes of the map under the draw of its picture."""
        return self.fitted(labels, draw, resize_nearest, np.float32(self.ignore_label))

    def fitted(self, plane: np.ndarray, draw: Draw | None, scaled: Callable[..., np.ndarray], fill: Any) -> np.ndarray:
        """`plane` (height, width, ...) scaled, padded with `fill`, cropped and mirrored."""
        if self.factors:
            factor = self.factors[int((draw[3] if draw else 0) * len(self.factors))]
            size = [int(np.float32(n) * factor) for n in plane.shape[:2]]
            plane = scaled(np.ascontiguousarray(plane), *size).reshape(*size, *plane.shape[2:])
        if self.pads and any(n < crop for n, crop in zip(plane.shape[:2], self.crop, strict=True)):
            size = [max(n, crop) for n, crop in zip(plane.shape[:2], self.crop, strict=True)]
            padded = np.empty((*size, *plane.shape[2:]), np.float32)
            padded[:] = fill
            padded[: plane.shape[0], : plane.shape[1]] = plane
            plane = padded
        plane = plane[self.window(plane.shape[:2], draw)]
        return plane[:, ::-1] if self.mirror and draw is not None and draw[0] < 0.5 else plane


class MapLoader(Loader):
    """Batches whose label is a map of every picture, and behind each map the height and width of the whole picture."""

    transformer: MapTransformer

    def seen(self, label: Any, shape: tuple[int, ...], draw: Any) -> Any:
        return self.transformer.labels(label, draw), shape[1:]

    def joined(self, labels: list[Any]) -> np.ndarray:
        """(batch, height * width + 2)."""
        return np.stack([np.concatenate([plane.ravel(), size]).astype(np.float32) for plane, size in labels])


def read_pairs(source: str, words: int = 2) -> list[tuple[str, str]]:
    """Lines `picture map`, without blanks inside; empty lines do not count. With `words` 1 a map need not be there."""
    pairs = []
    for number, line in numbered_lines(source, "picture map"):
        found = line.split()
        if len(found) < words:
            raise DataError(f"{source}:{number}: '{line}' is not 'picture map'")
        pairs.append((found[0], found[1] if len(found) > 1 else ""))
    return pairs
