"""WindowData: windows of pictures, background and objects, stretched to one size."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from caffe_port.data.transformer import Transformer
from caffe_port.data.windows import Cut, WindowFile, WindowRecords, read_windows
from caffe_port.errors import DataError
from caffe_port.layers.base import register
from caffe_port.layers.prefetching import PrefetchingLayer
from caffe_port.proto import caffe_pb2


@register()
class WindowData(PrefetchingLayer):
    """Tops: data (batch, 3, crop, crop) in the order blue, green, red; label (batch,), 0 for the background.

    Every batch has batch - floor(batch * fg_fraction) windows of the background, then the foreground's, drawn at random
    from `window_data_param.source` (see data/windows.py for its format, the thresholds and the errors), behind
    `root_folder`. Each is stretched to crop_size by crop_size, `crop_mode: "square"` a square around it; `context_pad`
    pixels on every side of the result show what is around the window, and are 0 where that is outside the picture.
    `cache_images` reads all files at setup.

    Of `transform_param`: crop_size, which must be given, mirror (every second window at random), mean_file (its middle,
    by its width in both directions, as in Caffe) or mean_value. The result is multiplied by window_data_param.scale;
    transform_param.scale does nothing, as in Caffe (so the scale of a V1 file, which upgrading moves there, is lost, as
    in Caffe). A context that leaves nothing of the window is refused.

    The ranks of parallel training draw differently. Source: window_data_layer.cpp of BVLC Caffe 1.0; Girshick et al.,
    2014. The random stream is not Caffe's.
    """

    tops = (2, 2)
    size_place = "window_data_layer.cpp:180"

    @property
    def batch_size(self) -> int:
        return self.param.window_data_param.batch_size

    @property
    def is_random(self) -> bool:
        return True

    def transformer(self) -> Transformer:
        """One that does nothing: the records are cut, mirrored and freed of the mean already."""
        return Transformer(caffe_pb2.TransformationParameter(), self.phase, self.title)

    def open(self, transformer: Transformer, seed: int) -> WindowRecords:
        p, t = self.param.window_data_param, self.param.transform_param
        if t.crop_size < 1:
            raise self.error("transform_param { crop_size: ... }, the size of the result, must be given")
        if 2 * p.context_pad >= t.crop_size:
            raise self.error(f"context_pad {p.context_pad} on both sides leaves nothing of crop_size {t.crop_size}")
        windows = read_windows(p.source, p.fg_threshold, p.bg_threshold)
        self.notes += notes(p, windows)
        cut = Cut(t.crop_size, p.context_pad, p.crop_mode == "square", self.mean(), p.scale)
        foreground = int(np.float32(p.batch_size) * np.float32(p.fg_fraction))
        return WindowRecords(windows, p.root_folder, cut, p.batch_size, foreground, t.mirror, p.cache_images, seed)

    def mean(self) -> Any:
        """What is subtracted, (3, crop, crop) or (3, 1, 1) laid out so, or None."""
        t, size = self.param.transform_param, self.param.transform_param.crop_size
        means = Transformer(t, self.phase, self.title)
        if means.mean_file is not None:
            off = (means.mean_file.shape[2] - size) // 2
            if means.mean_file.shape[0] != 3 or off < 0 or off + size > means.mean_file.shape[1]:
                shape = " x ".join(map(str, means.mean_file.shape))
                raise DataError(f"mean_file {t.mean_file} is {shape}; 3 x {size} x {size} is wanted in its middle")
            return means.mean_file[:, off : off + size, off : off + size]
        if len(means.mean_values) not in (0, 1, 3):
            raise self.error(f"{len(means.mean_values)} mean_values; give one, or one for each of the 3 channels")
        if not len(means.mean_values):
            return None
        return np.broadcast_to(means.mean_values[:, None, None], (3, size, size))


def notes(p: Any, windows: WindowFile) -> list[tuple[str, str]]:
    """What Caffe logs of a window file (every hundredth picture's line is left out)."""
    settings = (
        f"Window data layer:\n  foreground (object) overlap threshold: {p.fg_threshold:g}\n"
        f"  background (non-object) overlap threshold: {p.bg_threshold:g}\n"
        f"  foreground sampling fraction: {p.fg_fraction:g}\n"
        f"  cache_images: {int(p.cache_images)}\n  root_folder: {p.root_folder}"
    )
    counts = Counter({0: len(windows.background)}) + Counter(window.label for window in windows.foreground)
    return [
        ("window_data_layer.cpp:53", settings),
        ("window_data_layer.cpp:157", f"Number of images: {len(windows.images)}"),
        *(("window_data_layer.cpp:161", f"class {label} has {counts[label]} samples") for label in sorted(counts)),
        ("window_data_layer.cpp:165", f"Amount of context padding: {p.context_pad}"),
        ("window_data_layer.cpp:168", f"Crop mode: {p.crop_mode}"),
    ]
