"""`.prototxt`: the net alone. Read, its weights are what its fillers draw; written, it is the deploy net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe_port.errors import ConvertError
from caffe_port.proto import load
from converters.model import Model

EXTENSIONS = (".prototxt", ".pbtxt")
IN_FOLDERS: tuple[str, ...] = ()
"""None: they belong to the weights beside them."""


def read(path: Path, net: Any | None) -> Model:
    if net is not None:
        raise ConvertError(f"{path} is a net itself: model= goes with a file of weights")
    return Model(load.read_net(path), None)


def write(model: Model, path: Path) -> None:
    path.write_text(model.prototxt, encoding="utf-8")
    model.notes.append("a .prototxt holds the net without its weights; write .caffemodel for both")


def check(model: Model, path: Path, written: None) -> str:
    if load.read_net(path) != model.net:
        raise ConvertError(f"{path.name}: the text reads back as another net; nothing was written")
    return "the text reads back as the same net"
