"""Nets of 2013 (V0: `layers { layer { type: "conv" kernelsize: 3 ... } bottom: ... }`) in the format of 2014 (V1).

Padding was a layer of its own; it becomes the `pad` of the convolution or pooling that reads it. All options stood in
one message; OPTIONS says where each belongs, by the layer's type. An option that the type does not have is logged and
left out.

Where the behaviour comes from: src/caffe/util/upgrade_proto.cpp, UpgradeV0PaddingLayers and UpgradeV0LayerParameter.
How it differs: fields of the net that V0 did not know (input_shape, state) and layers without `layer` are kept, not
dropped.
"""

from __future__ import annotations

from typing import Any

from caffe_port import log
from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2

TYPES = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA",
    "dropout": "DROPOUT", "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN", "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT", "im2col": "IM2COL", "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT", "lrn": "LRN", "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING", "relu": "RELU", "sigmoid": "SIGMOID", "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT", "tanh": "TANH", "window_data": "WINDOW_DATA",
}  # fmt: skip
CONV, INNER, POOL, LRN = "convolution_param", "inner_product_param", "pooling_param", "lrn_param"
DATA, HDF5, IMAGES, WINDOW = "data_param", "hdf5_data_param", "image_data_param", "window_data_param"
ANY = "*"
OPTIONS: dict[str, dict[str, tuple[str, str]]] = {  # V0 field -> {V0 type: (message, field)}
    "num_output": {"conv": (CONV, "num_output"), "innerproduct": (INNER, "num_output")},
    "biasterm": {"conv": (CONV, "bias_term"), "innerproduct": (INNER, "bias_term")},
    "weight_filler": {"conv": (CONV, "weight_filler"), "innerproduct": (INNER, "weight_filler")},
    "bias_filler": {"conv": (CONV, "bias_filler"), "innerproduct": (INNER, "bias_filler")},
    "pad": {"conv": (CONV, "pad"), "pool": (POOL, "pad")},
    "kernelsize": {"conv": (CONV, "kernel_size"), "pool": (POOL, "kernel_size")},
    "group": {"conv": (CONV, "group")},
    "stride": {"conv": (CONV, "stride"), "pool": (POOL, "stride")},
    "pool": {"pool": (POOL, "pool")},
    "dropout_ratio": {"dropout": ("dropout_param", "dropout_ratio")},
    "local_size": {"lrn": (LRN, "local_size")},
    "alpha": {"lrn": (LRN, "alpha")},
    "beta": {"lrn": (LRN, "beta")},
    "k": {"lrn": (LRN, "k")},
    "source": {
        "data": (DATA, "source"),
        "hdf5_data": (HDF5, "source"),
        "images": (IMAGES, "source"),
        "window_data": (WINDOW, "source"),
        "infogain_loss": ("infogain_loss_param", "source"),
    },
    "scale": {ANY: ("transform_param", "scale")},
    "meanfile": {ANY: ("transform_param", "mean_file")},
    "batchsize": {
        "data": (DATA, "batch_size"),
        "hdf5_data": (HDF5, "batch_size"),
        "images": (IMAGES, "batch_size"),
        "window_data": (WINDOW, "batch_size"),
    },
    "cropsize": {ANY: ("transform_param", "crop_size")},
    "mirror": {ANY: ("transform_param", "mirror")},
    "rand_skip": {"data": (DATA, "rand_skip"), "images": (IMAGES, "rand_skip")},
    "shuffle_images": {"images": (IMAGES, "shuffle")},
    "new_height": {"images": (IMAGES, "new_height")},
    "new_width": {"images": (IMAGES, "new_width")},
    "concat_dim": {"concat": ("concat_param", "concat_dim")},
    "det_fg_threshold": {"window_data": (WINDOW, "fg_threshold")},
    "det_bg_threshold": {"window_data": (WINDOW, "bg_threshold")},
    "det_fg_fraction": {"window_data": (WINDOW, "fg_fraction")},
    "det_context_pad": {"window_data": (WINDOW, "context_pad")},
    "det_crop_mode": {"window_data": (WINDOW, "crop_mode")},
    "hdf5_output_param": {"hdf5_output": ("", "hdf5_output_param")},
}


def is_v0(param: Any) -> bool:
    return any(layer.HasField("layer") for layer in param.layers)


def from_v0(param: Any) -> Any:
    """The V0 NetParameter as V1. Raises NetError for an unknown type and for padding that nothing can take over."""
    upgraded = caffe_pb2.NetParameter()
    upgraded.CopyFrom(param)
    upgraded.ClearField("layers")
    upgraded.layers.extend(upgrade_layer(layer) for layer in without_padding(param))
    return upgraded


def without_padding(param: Any) -> list[Any]:
    """The layers of a V0 net less its padding layers, whose `pad` and bottom the next layer gets."""
    kept: list[Any] = []
    makers: dict[str, Any] = dict.fromkeys(param.input)
    for connection in param.layers:
        name = connection.layer.name
        layer = caffe_pb2.V1LayerParameter()
        layer.CopyFrom(connection)
        if connection.layer.type != "padding":
            kept.append(layer)
        for i, bottom in enumerate(connection.bottom):
            if bottom not in makers:
                raise NetError(
                    f"layer '{name}': unknown bottom blob '{bottom}' (bottom index {i}); no layer above makes it"
                )
            source = makers[bottom]
            if source is None or source.layer.type != "padding":
                continue
            if connection.layer.type not in ("conv", "pool"):
                kind = connection.layer.type
                raise NetError(
                    f"layer '{name}' ({kind}) reads the padding layer '{source.layer.name}'; only conv and pool can"
                )
            if len(connection.bottom) != 1 or len(source.bottom) != 1 or len(source.top) != 1:
                raise NetError(
                    f"layer '{name}' and its padding layer '{source.layer.name}' must take one blob and give one"
                )
            layer.layer.pad = source.layer.pad
            layer.bottom[i] = source.bottom[0]
        makers.update((top, connection) for top in connection.top)
    return kept


def upgrade_layer(connection: Any) -> Any:
    """One V0 entry as a V1 layer; an entry without `layer` is one already."""
    if not connection.HasField("layer"):
        return connection
    old = connection.layer
    new = caffe_pb2.V1LayerParameter(bottom=connection.bottom, top=connection.top)
    if old.HasField("name"):
        new.name = old.name
    if old.HasField("type"):
        if old.type not in TYPES:
            raise NetError(
                f"layer '{old.name}': unknown layer type '{old.type}' of format V0; it has {', '.join(TYPES)}"
            )
        new.type = caffe_pb2.V1LayerParameter.LayerType.Value(TYPES[old.type])
    for field in ("blobs", "blobs_lr", "weight_decay"):
        getattr(new, field).extend(getattr(old, field))
    for name, places in OPTIONS.items():
        if not old.HasField(name):
            continue
        place = places.get(ANY) or places.get(old.type)
        if place is None:
            log.error("upgrade_proto.cpp:237", f"Unknown parameter {name} for layer type {old.type}")
            continue
        message, field = place
        put(getattr(new, message) if message else new, field, getattr(old, name))
    return new


def put(message: Any, field: str, value: Any) -> None:
    """Sets a plain field, appends to a repeated one, copies a message."""
    current = getattr(message, field)
    if hasattr(current, "CopyFrom"):
        current.CopyFrom(value)
    elif hasattr(current, "append"):
        current.append(value)
    else:
        setattr(message, field, value)
