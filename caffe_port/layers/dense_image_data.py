"""DenseImageData: batches of pictures and their maps of labels, by a list; SegNet's layer."""

from __future__ import annotations

from functools import partial

from caffe_port.data.label_maps import MapTransformer, Read, read_map
from caffe_port.data.transformer import Transformer
from caffe_port.layers.base import TRAIN, register
from caffe_port.layers.map_data import MapDataLayer
from caffe_port.proto import caffe_pb2


@register()
class DenseImageData(MapDataLayer):
    """The picture files of the list `dense_image_data_param.source` (`picture map` a line, behind `root_folder`), for
    ever.

    Tops: data (batch, 3 or with `is_color: false` 1, height, width) in the order blue, green, red; label (batch, 1,
    height, width), the grey values of the map. `new_height`, `new_width`: both are resized to it, the picture
    bilinearly, the map to its nearest pixels. `mirror` flips both of every second pair at random; `crop_height` and
    `crop_width` cut both at a random place. Both are of dense_image_data_param, and are done in the TEST phase too, as
    in its Caffe. `transform_param` has mean_value and scale, for the picture.

    `shuffle`, `rand_skip` and what ImageData does beyond Caffe are as there. Raises for transform_param's mirror,
    crop_size and mean_file, and where a picture and its map differ in size or are smaller than the crop.
    Source: dense_image_data_layer.cpp of caffe-segnet (Badrinarayanan et al., 2015), which never reads
    dense_image_data_param's mean_file; here that raises.
    """

    origin = "SegNet"
    options_name = "dense_image_data_param"
    tops = (2, 2)

    def reader(self) -> Read:
        return partial(read_map, root=self.options.root_folder, resized=self.size, nearest=True)

    def transformer(self) -> Transformer:
        p, transform = self.options, caffe_pb2.TransformationParameter()
        transform.CopyFrom(self.param.transform_param)
        if transform.mirror or transform.crop_size:
            raise self.error("mirror and the crop belong into dense_image_data_param: the maps must follow")
        if p.HasField("mean_file"):
            said = "its Caffe never reads dense_image_data_param's mean_file; give transform_param mean_value"
            raise self.error(said)
        transform.mirror, transform.crop_height, transform.crop_width = p.mirror, p.crop_height, p.crop_width
        return MapTransformer(transform, TRAIN, self.title, pads=False)
