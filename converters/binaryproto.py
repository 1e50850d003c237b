"""`.binaryproto`: one blob, such as the mean image of a data set, as the net that holds nothing else.

The net is one Parameter layer `mean` (named after the file), whose blob is the array; so every format that takes a net
takes it. Written is a net with exactly one blob, with the legacy dimensions that Caffe's own tools read and write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe_port.errors import ConvertError
from caffe_port.proto import binary, caffe_pb2
from caffe_port.proto.binary import LayerBlobs
from converters.model import Model

EXTENSIONS = (".binaryproto",)
IN_FOLDERS: tuple[str, ...] = ()
"""None: they are mean images beside a model."""


def read(path: Path, net: Any | None) -> Model:
    array = binary.read_blob(path)
    if net is None:
        net = caffe_pb2.NetParameter(name=path.stem)
        layer = net.layer.add(name=path.stem, type="Parameter", top=[path.stem])
        layer.parameter_param.shape.dim.extend(array.shape)
    holders = [layer for layer in net.layer if layer.type == "Parameter"]
    if len(holders) != 1:
        raise ConvertError(f"{path} holds one blob; the net given with it needs exactly one Parameter layer")
    return Model(net, [LayerBlobs(holders[0].name, "Parameter", [array], [None])])


def write(model: Model, path: Path) -> None:
    named = model.named_blobs()
    if len(named) != 1:
        raise ConvertError(f"a .binaryproto holds one blob, net '{model.name}' has {len(named)}; write a .caffemodel")
    (array,) = named.values()
    binary.write_blob(path, array, legacy=array.ndim == 4)
