"""ImageSegData: batches of pictures and their maps of labels, by a list; DeepLab's layer and PSPNet's."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from caffe_port.data.label_maps import MapTransformer, Read, read_map
from caffe_port.data.transformer import Transformer
from caffe_port.errors import DataError
from caffe_port.layers.base import register
from caffe_port.layers.map_data import MapDataLayer
from caffe_port.proto import caffe_pb2

NONE, PIXEL = (caffe_pb2.ImageDataParameter.LabelType.Value(name) for name in ("NONE", "PIXEL"))


@register()
class ImageSegData(MapDataLayer):
    """The picture files of the list `image_data_param.source` (`picture map` a line, behind `root_folder`), for ever.

    Tops: data (batch, 3 or with `is_color: false` 1, height, width) in the order blue, green, red; label (batch, 1,
    height, width), the grey values of the map; if named, data_dim (batch, 1, 1, 2), height and width of every picture
    as read, at most the top's. `label_type` IMAGE (the default): the second word is a number from 0 to 255, the label
    of all pixels; NONE: there is none, and all are `ignore_label`.

    `new_height`, `new_width`: both are resized to it bilinearly, the map too, as in its Caffe, which makes labels of
    none of the classes: resize maps beforehand. `transform_param` has mirror, mean_value, scale, and
    * scale_factors: every picture is resized by one of them, drawn at random, in both phases; its map to nearest
      pixels;
    * crop_size, or crop_height and crop_width: TRAIN at a random place, TEST in the middle. What is smaller is padded
      below and to the right, the picture with the mean, the map with `ignore_label`.

    `shuffle`, `rand_skip` and what ImageData does beyond Caffe are as there. Raises for mean_file, for scale_factors
    without a crop, and where a picture and its map differ in size.
    Source: image_seg_data_layer.cpp and data_transformer.cpp of PSPNet's Caffe (Zhao et al., 2017), from DeepLab's.
    """

    origin = "DeepLab, PSPNet"
    options_name = "image_data_param"
    fork_fields: ClassVar[tuple[str, ...]] = (
        "image_data_param.ignore_label",
        "image_data_param.label_type",
        "transform_param.scale_factors",
        "transform_param.crop_height",
        "transform_param.crop_width",
    )

    @property
    def words(self) -> int:
        return 1 if self.options.label_type == NONE else 2

    def reader(self) -> Read:
        p = self.options
        if p.label_type == PIXEL:
            return partial(read_map, root=p.root_folder, resized=self.size, nearest=False)
        return partial(one_label, source=p.source, label=p.ignore_label if p.label_type == NONE else None)

    def transformer(self) -> Transformer:
        return MapTransformer(self.param.transform_param, self.phase, self.title, self.options.ignore_label)


def one_label(word: str, size: tuple[int, int], source: str, label: int | None) -> np.ndarray:
    """A map that is `label` everywhere, or where that is None the number in `word`."""
    try:
        return np.full(size, int(word) if label is None else label, np.uint8)
    except (ValueError, OverflowError):
        wrong = f"'{word if label is None else label}' is no label from 0 to 255"
        raise DataError(f"{source}: {wrong}; a file with the map is label_type: PIXEL") from None
