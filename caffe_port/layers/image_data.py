"""ImageData: batches out of image files, by a list."""

from __future__ import annotations

import numpy as np

from caffe_port.data.records import ImageRecords, read_list
from caffe_port.data.transformer import Transformer
from caffe_port.layers.base import register
from caffe_port.layers.prefetching import PrefetchingLayer


@register()
class ImageData(PrefetchingLayer):
    """The image files of the list `image_data_param.source` (`path label` a line, behind `root_folder`), for ever.

    Tops: data (batch, 3 or with `is_color: false` 1, height, width) in the order blue, green, red; label (batch,).
    Images are resized to `new_height` x `new_width` (both or neither; bilinear, OpenCV's numbers), then go through
    `transform_param`, whose force_color and force_gray do nothing here, as in Caffe. `shuffle`: a new random order
    each time through. `rand_skip`: leave a random number of lines below it out at the start; it may not be more than
    there are lines.

    Beyond Caffe: empty lines do not count, a label that is no whole number is an error (Caffe reads 0), and in parallel
    training the ranks share the lines as they share a database's records (in Caffe each rank reads all).
    Source: image_data_layer.cpp of BVLC Caffe 1.0.
    """

    tops = (2, 2)
    size_place = "image_data_layer.cpp:90"

    @property
    def batch_size(self) -> int:
        return self.param.image_data_param.batch_size

    @property
    def is_random(self) -> bool:
        p = self.param.image_data_param
        return p.shuffle or p.rand_skip > 0

    def open(self, transformer: Transformer, seed: int) -> ImageRecords:
        p = self.param.image_data_param
        if bool(p.new_height) != bool(p.new_width):
            raise self.error("new_height and new_width belong together: give both or neither")
        lines = read_list(p.source)
        skip = int(np.random.default_rng([seed, 1]).integers(p.rand_skip)) if p.rand_skip else 0
        self.notes.append(("image_data_layer.cpp:38", f"Opening file {p.source}"))
        if p.shuffle:
            self.notes.append(("image_data_layer.cpp:53", "Shuffling data"))
        self.notes.append(("image_data_layer.cpp:63", f"A total of {len(lines)} images."))
        if p.rand_skip:
            self.notes.append(("image_data_layer.cpp:70", f"Skipping first {skip} data points."))
        if skip >= len(lines):
            raise self.error(f"rand_skip {p.rand_skip} drew {skip} lines to skip, {p.source} has {len(lines)}")
        size = (p.new_height, p.new_width) if p.new_height else None
        return ImageRecords(lines, p.root_folder, size, p.is_color, seed if p.shuffle else None, skip)
