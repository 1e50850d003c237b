"""`caffe.io`: blobs, datums and images to arrays and back, and the Transformer that prepares an image for a net.

Source of the names: python/caffe/io.py of BVLC Caffe 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe_port.errors import CaffeError
from caffe_port.proto import caffe_pb2


def blobproto_to_array(blob: Any, return_diff: bool = False) -> np.ndarray:
    """The blob's shape, float64 as pycaffe's. ValueError: more or fewer numbers than the shape says."""
    values = np.array(blob.diff if return_diff else blob.data, dtype=np.float64)
    if blob.HasField("num") or blob.HasField("channels") or blob.HasField("height") or blob.HasField("width"):
        return values.reshape(blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(tuple(blob.shape.dim))


def array_to_blobproto(array: np.ndarray, diff: np.ndarray | None = None) -> Any:
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(np.asarray(array, dtype=np.float32).ravel())
    if diff is not None:
        blob.diff.extend(np.asarray(diff, dtype=np.float32).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[np.ndarray]) -> bytes:
    """The bytes of a BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(array) for array in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(array: np.ndarray, label: int | None = None) -> Any:
    """C x H x W into a Datum: bytes for uint8, float_data for anything else."""
    if array.ndim != 3:
        raise ValueError(f"a Datum holds 3 axes (channels, height, width), not an array of shape {array.shape}")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = array.shape
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> np.ndarray:
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        return np.frombuffer(datum.data, dtype=np.uint8).reshape(shape)
    return np.array(datum.float_data, dtype=float).reshape(shape)


Images = Sequence[np.ndarray] | np.ndarray
Dims = Sequence[int] | np.ndarray  # height, width
GRAY = np.array([0.2125, 0.7154, 0.0721], np.float32)  # of red, green, blue


def load_image(filename: str, color: bool = True) -> np.ndarray:
    """H x W x 3 (or 1) in [0, 1], RGB, float32. FileNotFoundError, or CaffeError: no image."""
    from PIL import Image

    try:
        with Image.open(filename) as image:
            if not color and image.mode in ("L", "1"):
                return (np.asarray(image.convert("L"), dtype=np.float32) / 255)[:, :, np.newaxis]
            values = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as e:
        raise CaffeError(f"{filename}: it cannot be read as an image ({e})") from None
    return values if color else (values @ GRAY)[:, :, np.newaxis]


def resize_image(image: np.ndarray, new_dims: Dims, interp_order: int = 1) -> np.ndarray:
    """H x W x K to `new_dims` (height, width), by splines of `interp_order` (1: bilinear), float32.

    The numbers of pycaffe with today's scikit-image: images of one or three channels are smoothed before they become
    smaller, and at their edges blend into their own minimum when they become larger; others get neither.
    """
    from scipy.ndimage import gaussian_filter, zoom

    height, width = (int(n) for n in new_dims)
    channels = image.shape[-1]
    if channels not in (1, 3):
        scale = (height / image.shape[0], width / image.shape[1], 1)
        return zoom(image, scale, order=interp_order).astype(np.float32)
    low, high = image.min(), image.max()
    if high <= low:
        return np.full((height, width, channels), low, np.float32)
    image = (image - low) / (high - low)
    factors = np.divide(image.shape, (height, width, channels))
    if (factors > 1).any():
        image = gaussian_filter(image, np.maximum(0, (factors - 1) / 2), mode="grid-constant")
    out = zoom(image, 1 / factors, order=interp_order, mode="grid-constant", grid_mode=True)
    return (np.clip(out, 0, 1) * (high - low) + low).astype(np.float32)


def oversample(images: Images, crop_dims: Dims) -> np.ndarray:
    """(10 N, height, width, K): of each of N images (H x W x K, all of one size) the four corners and the center, then
    these mirrored. ValueError: an image is smaller than the crop."""
    height, width = (int(n) for n in crop_dims)
    spare = _spare(images, height, width)
    corners = [(y, x) for y in (0, spare[0]) for x in (0, spare[1])]
    places = [*corners, (spare[0] // 2, spare[1] // 2)]
    crops = [
        image[y : y + height, x : x + width, :][:, ::step] for image in images for step in (1, -1) for y, x in places
    ]
    return np.stack(crops).astype(np.float32)


def center_crops(images: Images, crop_dims: Dims) -> np.ndarray:
    """(N, height, width, K): the middle of each image; ours. ValueError as of `oversample`."""
    height, width = (int(n) for n in crop_dims)
    y, x = (n // 2 for n in _spare(images, height, width))
    return np.stack([image[y : y + height, x : x + width] for image in images])


def _spare(images: Images, height: int, width: int) -> tuple[int, int]:
    rows, columns = images[0].shape[:2]
    if rows < height or columns < width:
        raise ValueError(f"images of {rows} x {columns} have no crop of {height} x {width}; resize them to more")
    return rows - height, columns - width


class Transformer:
    """Image (H x W x K) to a net's input (K x H x W): resize, transpose, channel swap, raw scale, mean, input scale."""

    def __init__(self, inputs: dict[str, tuple[int, ...]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, tuple[int, ...]] = {}
        self.channel_swap: dict[str, tuple[int, ...]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def _check(self, name: str) -> None:
        if name not in self.inputs:
            raise ValueError(f"{name} is not one of the net's inputs: {list(self.inputs)}")

    def preprocess(self, name: str, data: np.ndarray) -> np.ndarray:
        self._check(name)
        out = np.asarray(data, dtype=np.float32)
        dims = self.inputs[name][2:]
        if out.shape[:2] != tuple(dims):
            out = resize_image(out, tuple(dims))  # type: ignore[arg-type]
        if name in self.transpose:
            out = out.transpose(self.transpose[name])
        if name in self.channel_swap:
            out = out[list(self.channel_swap[name]), :, :]
        if name in self.raw_scale:
            out = out * np.float32(self.raw_scale[name])
        if name in self.mean:
            out = out - self.mean[name]
        if name in self.input_scale:
            out = out * np.float32(self.input_scale[name])
        return out

    def deprocess(self, name: str, data: np.ndarray) -> np.ndarray:
        self._check(name)
        out = np.array(data, dtype=np.float32).squeeze()
        if name in self.input_scale:
            out = out / np.float32(self.input_scale[name])
        if name in self.mean:
            out = out + self.mean[name]
        if name in self.raw_scale:
            out = out / np.float32(self.raw_scale[name])
        if name in self.channel_swap:
            out = out[np.argsort(self.channel_swap[name]), :, :]
        if name in self.transpose:
            out = out.transpose(np.argsort(self.transpose[name]))
        return out

    def set_transpose(self, name: str, order: tuple[int, ...]) -> None:
        self._check(name)
        if len(order) != len(self.inputs[name]) - 1:
            raise ValueError("the transpose order needs as many entries as the input has axes after the first")
        self.transpose[name] = order

    def set_channel_swap(self, name: str, order: tuple[int, ...]) -> None:
        self._check(name)
        if len(order) != self.inputs[name][1]:
            raise ValueError("the channel swap needs as many entries as the input has channels")
        self.channel_swap[name] = order

    def set_raw_scale(self, name: str, scale: float) -> None:
        self._check(name)
        self.raw_scale[name] = scale

    def set_mean(self, name: str, mean: np.ndarray) -> None:
        """K values, or K x H x W, which is resized to the input's size."""
        self._check(name)
        mean = np.asarray(mean, dtype=np.float32)
        if mean.ndim == 1:
            if mean.shape[0] != self.inputs[name][1]:
                raise ValueError("the mean needs as many values as the input has channels")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            mean = mean[np.newaxis] if mean.ndim == 2 else mean
            if mean.ndim != 3:
                raise ValueError(f"the mean has shape {mean.shape}; it is K values, or K x H x W")
            if mean.shape != tuple(self.inputs[name][1:]):
                mean = resize_image(mean.transpose(1, 2, 0), self.inputs[name][2:]).transpose(2, 0, 1)
        self.mean[name] = mean

    def set_input_scale(self, name: str, scale: float) -> None:
        self._check(name)
        self.input_scale[name] = scale
