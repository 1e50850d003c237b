"""transform_param: crop, mirror, mean, scale, in Caffe's order, on arrays (channels, height, width).

    out = (crop(mirror(datum)) - mean) * scale        in float32

TRAIN crops at a random place, TEST in the middle (offsets rounded down); `mirror: true` flips every second picture at
random in both phases. Forks' crop_height and crop_width are a crop that is no square; only layers that say so take
them. The mean file is read at the place of the crop in the whole picture, and is not flipped: what is flipped is the
result. Source: src/caffe/data_transformer.cpp of BVLC Caffe 1.0. The random stream is not Caffe's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe_port.errors import CaffeError, DataError
from caffe_port.proto import caffe_pb2
from caffe_port.proto.binary import read_blob

Draw = Sequence[float]  # mirror, row, column: each uniform in [0, 1)


class Transformer:
    """One layer's transform. `title` starts the messages of its errors (DataError).

    Random numbers come from `rng`, by `draws`; three a picture, drawn in the order of the pictures, so that it does not
    matter which thread then transforms which picture.
    """

    def __init__(self, param: Any, phase: int, title: str = "transform_param") -> None:
        self.param = param
        self.title = title
        self.crop = (param.crop_size, param.crop_size) if param.crop_size else (param.crop_height, param.crop_width)
        self.scale = np.float32(param.scale)
        self.random_crop = any(self.crop) and phase == caffe_pb2.TRAIN
        self.mirror = bool(param.mirror)
        self.is_random = self.mirror or self.random_crop
        self.rng = np.random.default_rng(0)
        if any(self.crop) and not all(self.crop) or param.crop_size and (param.crop_height or param.crop_width):
            raise DataError(f"{title}: give crop_size, or both crop_height and crop_width")
        if param.HasField("mean_file") and param.mean_value:
            raise DataError(f"{title}: mean_file and mean_value exclude each other; keep one of them")
        self.mean_file = self._read_mean() if param.HasField("mean_file") else None
        self.same_mean = self.mean_file is None  # at every place
        self.mean_values = np.array(param.mean_value, np.float32)

    @property
    def color(self) -> bool | None:
        """What compressed images are decoded to: True three channels, False one, None what they have."""
        if self.param.force_color and self.param.force_gray:
            raise DataError(f"{self.title}: force_color and force_gray exclude each other; keep one of them")
        return True if self.param.force_color else False if self.param.force_gray else None

    def draws(self, count: int) -> list[Draw | None]:
        """The random numbers for the next pictures; None for each when the transform has nothing random."""
        return self.rng.random((count, 3)).tolist() if self.is_random else [None] * count

    def out_shape(self, shape: Sequence[int], place: object = "") -> tuple[int, int, int]:
        """The result's shape. DataError where crop or mean do not fit; `place` names the picture."""
        channels, height, width = shape
        misfit = ""
        if self.mean_file is not None and self.mean_file.shape != tuple(shape):
            mean = " x ".join(map(str, self.mean_file.shape))
            misfit = f"but mean_file {self.param.mean_file} is {mean}; make the mean of these pictures"
        elif len(self.mean_values) not in (0, 1, channels):
            misfit = f"but there are {len(self.mean_values)} mean_values; give one, or one a channel"
        elif self.crop[0] > height or self.crop[1] > width:
            crop = self.param.crop_size or " x ".join(map(str, self.crop))
            misfit = f"smaller than crop_size {crop}; resize the pictures or crop less"
        if misfit:
            size = f"{channels} x {height} x {width} (channels x height x width)"
            raise DataError(f"{place or self.title}: it is {size}, {misfit}")
        return (channels, *self.crop) if any(self.crop) else (channels, height, width)

    def apply(self, array: np.ndarray, draw: Draw | None, out: np.ndarray) -> None:
        """Transform `array` (any type, any strides) into `out` (float32, of `out_shape`)."""
        self.normalise(*self.cut(array, draw, out))

    def apply_all(self, arrays: np.ndarray, draws: Sequence[Draw | None], out: np.ndarray) -> None:
        """`apply` to arrays (n, channels, height, width), each with its draw.

        Everything is done to all at once, since calls cost more than small pictures; but not where the mean differs
        from picture to picture with the place of the crop or the side.
        """
        if self.is_random and not self.same_mean:
            for array, draw, one in zip(arrays, draws, out, strict=True):
                self.apply(array, draw, one)
            return
        rows, columns = self.window(arrays.shape, None)
        if self.random_crop:
            heights, widths = (n - crop + 1 for n, crop in zip(arrays.shape[-2:], self.crop, strict=True))
            _, down, across = np.array(draws).T
            place = (down * heights).astype(int), (across * widths).astype(int)  # as `window` has them
            everywhere = np.lib.stride_tricks.sliding_window_view(arrays, self.crop, (2, 3))
            arrays = everywhere[np.arange(len(arrays)), :, place[0], place[1]]
        else:
            arrays = arrays[:, :, rows, columns]
        if self.mirror:
            flipped = np.array(draws)[:, 0] < 0.5
            arrays = arrays.copy()
            arrays[flipped] = arrays[flipped, :, :, ::-1]
        np.copyto(out, arrays, casting="unsafe")
        self.normalise(out, rows, columns)

    def cut(self, array: np.ndarray, draw: Draw | None, out: np.ndarray) -> tuple[np.ndarray, slice, slice]:
        """The first half of `apply`, crop and mirror; what `normalise` takes for the second."""
        rows, columns = self.window(array.shape, draw)
        if self.mirror and draw is not None and draw[0] < 0.5:
            out = out[..., ::-1]
        np.copyto(out, array[:, rows, columns], casting="unsafe")
        return out, rows, columns

    def normalise(self, out: np.ndarray, rows: slice = slice(None), columns: slice = slice(None)) -> None:
        """Take the mean at this place off one array or, where `same_mean`, off several; scale; in place."""
        if self.mean_file is not None:
            np.subtract(out, self.mean_file[:, rows, columns], out=out)
        elif len(self.mean_values):
            np.subtract(out, self.mean_values[:, None, None], out=out)
        if self.scale != 1:
            np.multiply(out, self.scale, out=out)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """One picture by itself, with the next random numbers."""
        out = np.empty(self.out_shape(array.shape), np.float32)
        self.apply(array, self.draws(1)[0], out)
        return out

    def window(self, shape: Sequence[int], draw: Draw | None) -> tuple[slice, slice]:
        if not any(self.crop):
            return slice(None), slice(None)
        spare = [n - crop for n, crop in zip(shape[-2:], self.crop, strict=True)]
        if self.random_crop and draw is not None:
            row, column = (int(part * (n + 1)) for part, n in zip(draw[1:3], spare, strict=True))
        else:
            row, column = spare[0] // 2, spare[1] // 2
        return slice(row, row + self.crop[0]), slice(column, column + self.crop[1])

    def _read_mean(self) -> np.ndarray:
        try:
            mean = np.asarray(read_blob(self.param.mean_file), np.float32)
        except (CaffeError, OSError) as e:
            raise DataError(f"{self.title}: mean_file {self.param.mean_file} cannot be read: {e}") from None
        if mean.ndim == 4 and mean.shape[0] == 1:
            mean = mean[0]
        if mean.ndim != 3:
            raise DataError(
                f"{self.title}: mean_file {self.param.mean_file} holds an array of shape {mean.shape}; "
                "it must be (1, channels, height, width), as compute_image_mean writes it"
            )
        return mean
