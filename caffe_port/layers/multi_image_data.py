"""MultiImageData: batches out of image files, by a list that gives every file several labels."""

from __future__ import annotations

import numpy as np

from caffe_port.data.attributes import AttributeRecords, Jitter, read_attributes
from caffe_port.data.transformer import Transformer
from caffe_port.layers.base import Shape, register
from caffe_port.layers.prefetching import PrefetchingLayer


@register()
class MultiImageData(PrefetchingLayer):
    """As ImageData, with lines `path label label ...` in `multiimage_data_param.source`; paths without blanks.

    Tops: data (batch, 3 or with `is_color: false` 1, height, width) in the order blue, green, red; label (batch, labels
    a line), if named. Before transform_param, every picture is
    * shifted in colour, if eig_value (3) and eig_vector (9) are given: channel i by the sum over j of c_j * eig_value_j
      * eig_vector_3i+j, c drawn from a normal distribution, mean eig_coef_mean, deviation eig_coef_var;
    * turned by an angle between rotation_theta_min and rotation_theta_max degrees, unless both are 0. Needs OpenCV.
    Both also in the TEST phase. Raises for another number of eig_values, where RAP's layer shifts nothing.

    Source: multiimage_data_layer.cpp of RAP's Caffe; what ImageData does beyond Caffe, this does too.
    """

    origin = "RAP"
    tops = (1, 2)

    @property
    def batch_size(self) -> int:
        return self.param.multiimage_data_param.batch_size

    @property
    def jitter(self) -> Jitter:
        p = self.param.multiimage_data_param
        if (len(p.eig_value), len(p.eig_vector)) not in ((0, 0), (3, 9)):
            raise self.error(f"{len(p.eig_value)} eig_value, {len(p.eig_vector)} eig_vector; give 3 and 9, or none")
        if p.rotation_theta_min > p.rotation_theta_max:
            raise self.error("rotation_theta_min must not be greater than rotation_theta_max")
        values, vectors = np.array(p.eig_value), np.array(p.eig_vector).reshape(-1, 3)
        return Jitter(
            (p.eig_coef_var, p.eig_coef_mean, values, vectors) if len(values) else None,
            (p.rotation_theta_min, p.rotation_theta_max) if p.rotation_theta_min or p.rotation_theta_max else None,
        )

    @property
    def is_random(self) -> bool:
        p = self.param.multiimage_data_param
        return p.shuffle or p.rand_skip > 0 or self.jitter != Jitter()

    def open(self, transformer: Transformer, seed: int) -> AttributeRecords:
        p = self.param.multiimage_data_param
        if bool(p.new_height) != bool(p.new_width):
            raise self.error("new_height and new_width belong together: give both or neither")
        lines, labels = read_attributes(p.source)
        skip = int(np.random.default_rng([seed, 1]).integers(p.rand_skip)) if p.rand_skip else 0
        if skip >= len(lines):
            raise self.error(f"rand_skip {p.rand_skip} drew {skip} lines to skip, {p.source} has {len(lines)}")
        size = (p.new_height, p.new_width) if p.new_height else None
        self.label_count = labels.shape[1]
        order = seed if p.shuffle else None
        return AttributeRecords(labels, self.jitter, seed, lines, p.root_folder, size, p.is_color, order, skip)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        """(batch, channels, height, width) of the first record, and (batch, labels)."""
        data, *labels = super().top_shapes(bottom_shapes)
        return [data, *((*shape, self.label_count) for shape in labels)]
