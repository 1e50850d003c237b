"""Shapes that are not in the net's file: given as --input name:1,3,224,224, or told by the definition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_port.errors import CaffeError
from caffe_port.layers import REGISTRY
from caffe_port.layers.base import Shape


def parse(given: Sequence[str]) -> dict[str, Shape]:
    """`["data:1,3,224,224"]` as {"data": (1, 3, 224, 224)}."""
    shapes = {}
    for one in given:
        match = re.fullmatch(r"(.+):(\d+(?:,\d+)*)", one)
        if not match:
            raise CaffeError(f"--input '{one}' is not of the form name:1,3,224,224")
        shapes[match[1]] = tuple(int(d) for d in match[2].split(","))
    return shapes


def role(layer: Any) -> str:
    cls = REGISTRY.get(layer.type)
    return cls.role if cls else "compute"


def of_data_layer(layer: Any, given: Mapping[str, Shape]) -> list[Shape | None]:
    """Shapes of a data layer's tops without its data: as given, or as the definition says; None for those unknown."""
    batch = _batch(layer, given)
    return [given.get(top) or _told(layer, i, batch) for i, top in enumerate(layer.top)]


def replace(net: Any, given: Mapping[str, Shape]) -> Any:
    """`net` with the given shapes in its Input layers, and with Inputs in place of the data layers that they name."""
    out = type(net)()
    out.CopyFrom(net)
    unused = set(given)
    for layer in out.layer:
        if role(layer) not in ("input", "data") or not any(top in given for top in layer.top):
            continue
        unused -= set(layer.top)
        if role(layer) == "input":
            shapes = [tuple(s.dim) for s in layer.input_param.shape] or [()]
            shapes = [given.get(top, shapes[min(i, len(shapes) - 1)]) for i, top in enumerate(layer.top)]
        else:
            found = of_data_layer(layer, given)
            unknown = [top for top, shape in zip(layer.top, found, strict=True) if shape is None]
            if unknown:
                raise CaffeError(
                    f"layer '{layer.name}' ({layer.type}): give the shape of '{unknown[0]}' with --input too"
                )
            shapes = [shape for shape in found if shape is not None]
            layer.type = "Input"
            layer.ClearField("transform_param")  # whose forks' options an Input does not have
        del layer.input_param.shape[:]
        for shape in shapes:
            layer.input_param.shape.add().dim.extend(shape)
    for layer in net.layer:
        made = next((top for top in layer.top if top in unused), None)
        if made:
            raise CaffeError(f"--input: '{made}' is made by layer '{layer.name}' ({layer.type}), not an input")
    if unused:
        tops = [top for layer in net.layer if role(layer) in ("input", "data") for top in layer.top]
        raise CaffeError(
            f"--input: no input is called '{min(unused)}'; the net's are {', '.join(dict.fromkeys(tops)) or 'none'}"
        )
    return out


def _batch(layer: Any, given: Mapping[str, Shape]) -> int:
    for top in layer.top:
        if given.get(top):
            return given[top][0]
    kinds = ("data", "image_data", "multiimage_data", "dense_image_data", "window_data", "memory_data", "hdf5_data")
    given_options = [getattr(layer, f"{kind}_param") for kind in kinds if layer.HasField(f"{kind}_param")]
    return next((options.batch_size for options in given_options if options.batch_size), 0)


def _told(layer: Any, index: int, batch: int) -> Shape | None:
    from converters.deploy import data_shape

    try:
        return data_shape(layer, layer.top[index])
    except CaffeError:
        if layer.type == "AnnotatedData" and index == 1:  # as of one box; the number of boxes is in the data
            return (batch, 1, 300, 5) if layer.annotated_data_param.yolo_data_type else (1, 1, 1, 8)
        labels = layer.type in ("Data", "ImageData", "WindowData", "MemoryData") and index == 1
        return (batch,) if labels and batch else None
