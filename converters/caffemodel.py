"""`.caffemodel`: Caffe's binary net. Every generation is read; the current one is written, with its prototxt beside
it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe_port.errors import ConvertError
from caffe_port.proto import binary, upgrade
from converters.deploy import refuse_code
from converters.model import Model

EXTENSIONS = (".caffemodel",)


def read(path: Path, net: Any | None) -> Model:
    """`net` None: the net embedded in the file. The blobs are views of the mapped file."""
    file = binary.read_net(path)
    if net is None:
        net = upgrade.upgrade_net(file.param)
        if not net.layer:
            raise ConvertError(
                f"{path}: holds no net; give the one that its weights belong to with model=deploy.prototxt"
            )
        refuse_code(net, path)
    return Model(net, file.layers)


def write(model: Model, path: Path) -> None:
    """Writes `path` and, beside it, the net as text: what Caffe, OpenCV and every other reader ask for as a pair."""
    binary.write_net(path, model.net, model.layer_blobs())
    path.with_suffix(".prototxt").write_text(model.prototxt, encoding="utf-8")
