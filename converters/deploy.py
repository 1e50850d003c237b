"""What of a net is converted: its TEST phase without data, loss and metric layers, as a pure function of NetParameter.

A `deploy.prototxt` comes out as it went in. A `train_val.prototxt`, or the net that a training snapshot carries inside
(phase TRAIN in every layer, Caffe's own Split layers written out), becomes the deploy net that its author would have
written: data layers' tops that are still read become Inputs, the predictions that went into a loss become outputs.
Layers go by their declared `role`, never by their name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_port.errors import ConvertError
from caffe_port.layers import REGISTRY
from caffe_port.proto import caffe_pb2, filter, upgrade

Shape = tuple[int, ...]


def parse_inputs(given: Mapping[str, Sequence[int]] | Sequence[str] | str | None) -> dict[str, Shape]:
    """Input shapes as users give them: {"data": (1, 3, 224, 224)}, "data:1,3,224,224", or a list of such texts."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        shapes = {name: tuple(int(d) for d in shape) for name, shape in given.items()}
    else:
        shapes = {}
        for one in [given] if isinstance(given, str) else given:
            name, colon, dims = one.rpartition(":")
            if not colon or not name or not re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", dims):
                raise ConvertError(f"input shape '{one}' is not of the form name:1,3,224,224")
            shapes[name] = tuple(int(d) for d in dims.split(","))
    for name, shape in shapes.items():
        if any(d < 1 for d in shape):
            raise ConvertError(f"input '{name}': every dimension must be at least 1, not {shape}")
    return shapes


def deploy(net: Any, inputs: Mapping[str, Shape] | None = None) -> tuple[Any, list[str]]:
    """The deploy net of `net`, and sentences about what was left out. `inputs` overrides or supplies input shapes."""
    inputs = dict(inputs or {})
    full = join_splits(upgrade.upgrade_net(net))
    for layer in full.layer:
        layer.ClearField("phase")
        layer.ClearField("blobs")
    test = filter.filter_net(full, caffe_pb2.TEST)  # at level 0 and in the file's own stages, as Caffe reads a file
    test.ClearField("state")
    for layer in test.layer:  # the rules have been followed; read again, without the stages, they would say otherwise
        layer.ClearField("include")
        layer.ClearField("exclude")
    makers = {top: layer for layer in full.layer if role(layer) == "data" for top in layer.top}
    makers.update({top: layer for layer in test.layer if role(layer) == "data" for top in layer.top})

    notes: list[str] = []
    outputs: set[str] = set()  # what went into a loss
    kept = [
        layer
        for layer in test.layer
        if role(layer) not in ("data", "loss", "metric") and (layer.top or not layer.bottom)
    ]
    targets = _target_blobs(test)
    kept = [layer for layer in kept if not (layer.top and all(t in targets for t in layer.top))]
    dropped = [layer for layer in test.layer if not any(layer is k for k in kept)]
    for layer in dropped:
        if role(layer) == "loss":
            predictions = [b for b in layer.bottom if b not in targets and b not in makers]
            outputs.update(predictions[:1])
            where = f"; '{predictions[0]}', as it went into the loss, is an output" if predictions else ""
            notes.append(f"dropped loss layer '{layer.name}' ({layer.type}){where}")
        else:
            notes.append(f"dropped {role(layer)} layer '{layer.name}' ({layer.type})")

    result = caffe_pb2.NetParameter()
    result.CopyFrom(test)
    del result.layer[:]
    made: set[str] = set()
    lost = {top for layer in dropped for top in layer.top if top not in makers}
    for layer in kept:
        if any(b in lost and b not in made for b in layer.bottom):
            notes.append(f"dropped layer '{layer.name}' ({layer.type}): it works on what a loss or metric layer gave")
            lost.update(layer.top)
            dropped.append(layer)
            continue
        for bottom in layer.bottom:
            if bottom not in made and bottom in makers:
                shape = inputs.get(bottom) or data_shape(makers[bottom], bottom, kept)
                _add_input(result, bottom, shape)
                maker = f"{makers[bottom].type} layer '{makers[bottom].name}'"
                notes.append(f"'{bottom}' of {maker} became an input of shape {shape}")
                made.add(bottom)
        result.layer.add().CopyFrom(layer)
        made.update(layer.top)
    _drop_inputs(result, {b for layer in dropped for b in layer.bottom} - outputs, notes)
    _set_input_shapes(result, inputs)
    return result, notes


def role(layer: Any) -> str:
    """The role that the layer's class declares; "compute" for an unknown type (building the net then refuses it).

    A Python layer's role is the one that its instance will take in setup (layers/python.py), told without running it.
    """
    if layer.type == "Python":
        return "data" if not layer.bottom else "loss" if any(layer.loss_weight) else "compute"
    cls = REGISTRY.get(layer.type)
    return cls.role if cls else "compute"


def refuse_code(net: Any, where: Any) -> None:
    """Python layers that compute are run where the user gives the definition, never because a file of weights says so.

    Raises ConvertError. Those that are data or losses are not run at all: `deploy` drops them.
    """
    code = [layer for layer in net.layer if layer.type == "Python" and role(layer) == "compute"]
    if code:
        what = ", ".join(f"'{layer.name}' ({layer.python_param.module}.{layer.python_param.layer})" for layer in code)
        raise ConvertError(
            f"{where}: the net inside has Python layers, {what}: code, which is not run on a file's word; "
            "give the definition yourself with model=deploy.prototxt"
        )


def join_splits(net: Any) -> Any:
    """`net` without the Split layers that Caffe itself puts into the nets of its snapshots (`*_split_0` tops)."""
    alias: dict[str, str] = {}
    joined = caffe_pb2.NetParameter()
    joined.CopyFrom(net)
    del joined.layer[:]
    for layer in net.layer:
        if layer.type == "Split" and all(re.search(r"_split_\d+$", top) for top in layer.top):
            alias.update({top: alias.get(layer.bottom[0], layer.bottom[0]) for top in layer.top})
            continue
        copy = joined.layer.add()
        copy.CopyFrom(layer)
        copy.bottom[:] = [alias.get(b, b) for b in layer.bottom]
    return joined


def data_shape(layer: Any, top: str, readers: Sequence[Any] = ()) -> Shape:
    """The shape of a data layer's top, where its definition alone tells it; else ConvertError asking for `--input`."""
    index = list(layer.top).index(top)
    if layer.type == "DummyData":
        p = layer.dummy_data_param
        if p.shape:
            return tuple(p.shape[min(index, len(p.shape) - 1)].dim)
        at = min(index, len(p.num) - 1)
        return tuple(int(dims[at]) for dims in (p.num, p.channels, p.height, p.width))
    if index == 0 and layer.type == "MemoryData":
        p = layer.memory_data_param
        return (p.batch_size, p.channels, p.height, p.width)
    maps = layer.type in ("ImageSegData", "DenseImageData")
    if maps or index == 0 and layer.type in ("Data", "ImageData", "MultiImageData", "WindowData", "AnnotatedData"):
        shape = _image_shape(layer, top, readers)
        if shape:
            return (shape, (shape[0], 1, *shape[2:]), (shape[0], 1, 1, 2))[index]
    raise ConvertError(
        f"layer '{layer.name}' ({layer.type}): the shape of its top '{top}' is in its data, not in the net; "
        f"give it: --input {top}:1,3,224,224 (input={{'{top}': (1, 3, 224, 224)}})"
    )


def _image_shape(layer: Any, top: str, readers: Sequence[Any]) -> Shape | None:
    own = {
        "Data": layer.data_param,
        "ImageData": layer.image_data_param,
        "MultiImageData": layer.multiimage_data_param,
        "WindowData": layer.window_data_param,
        "AnnotatedData": layer.data_param,
        "ImageSegData": layer.image_data_param,
        "DenseImageData": layer.dense_image_data_param,
    }[layer.type]
    transform, crop = layer.transform_param, layer.transform_param.crop_size or getattr(own, "crop_size", 0)
    height, width = (crop, crop) if crop else (getattr(own, "new_height", 0), getattr(own, "new_width", 0))
    for cut in (transform, own):
        if getattr(cut, "crop_height", 0) and getattr(cut, "crop_width", 0):
            height, width = cut.crop_height, cut.crop_width
    if layer.type == "AnnotatedData" and not crop and transform.resize_param:
        resize = transform.resize_param[0]  # of several sizes any will do: the net takes them all
        if resize.resize_mode != resize.FIT_SMALL_SIZE:
            height, width = resize.height, resize.width
    channels = _image_channels(layer, transform)
    if not channels or not height or not width or not own.batch_size:
        return None
    return (own.batch_size, channels, height, width)


def _image_channels(layer: Any, transform: Any) -> int:
    """Channels, as far as the definition tells them: 0 when it does not."""
    files = {
        "ImageData": layer.image_data_param,
        "ImageSegData": layer.image_data_param,
        "MultiImageData": layer.multiimage_data_param,
        "DenseImageData": layer.dense_image_data_param,
    }
    if layer.type in files:
        own = files[layer.type]
        return 3 if own.is_color else 1
    if layer.type == "WindowData":
        return 3
    if transform.force_color or len(transform.mean_value) == 3:
        return 3
    if transform.force_gray:
        return 1
    return 0


def _target_blobs(net: Any) -> set[str]:
    """Blobs that only say what the prediction should be: labels, and what parameter-free layers make of labels.

    A blob is one when nothing learnable stands above it and every way down from it ends in a loss or a metric, in a
    place where another bottom of that layer does stand on learnable layers.
    """
    learned: set[str] = set()
    for layer in net.layer:
        cls = REGISTRY.get(layer.type)
        if cls is None or cls.blob_names or role(layer) == "input" or any(b in learned for b in layer.bottom):
            learned.update(layer.top)
    targets: set[str] = set()
    read_by: dict[str, list[Any]] = {}
    for layer in net.layer:
        for bottom in layer.bottom:
            read_by.setdefault(bottom, []).append(layer)
    for layer in reversed(net.layer):
        for top in layer.top:
            readers = [r for r in read_by.get(top, []) if r is not layer]
            if top in learned or not readers:
                continue
            if all(_is_end(r, learned) or all(t in targets for t in r.top) for r in readers):
                targets.add(top)
    return targets


def _is_end(layer: Any, learned: set[str]) -> bool:
    if layer.type not in REGISTRY:
        return False
    return role(layer) in ("loss", "metric") and any(b in learned for b in layer.bottom) or not layer.top


def _add_input(net: Any, name: str, shape: Shape) -> None:
    layer = net.layer.add(name=name, type="Input", top=[name])
    layer.input_param.shape.add().dim.extend(shape)


def _drop_inputs(net: Any, read_by_dropped: set[str], notes: list[str]) -> None:
    """Take out the inputs, labels mostly, that only layers that were dropped had read."""
    read = {bottom for layer in net.layer for bottom in layer.bottom}
    for layer in [layer for layer in net.layer if role(layer) == "input"]:
        stays = [top for top in layer.top if top in read or top not in read_by_dropped]
        if len(stays) == len(layer.top):
            continue
        notes += [f"dropped input '{top}': only dropped layers read it" for top in layer.top if top not in stays]
        if not stays:
            net.layer.remove(layer)
            continue
        shapes = dict(zip(layer.top, _shapes(layer), strict=True))
        layer.top[:] = stays
        _give_shapes(layer, [shapes[top] for top in stays])


def _shapes(layer: Any) -> list[Shape]:
    """The shape of each top of an Input layer: the last one that is given holds for all that follow."""
    given = list(layer.input_param.shape)
    return [tuple(given[min(i, len(given) - 1)].dim) if given else () for i in range(len(layer.top))]


def _give_shapes(layer: Any, shapes: Sequence[Shape]) -> None:
    del layer.input_param.shape[:]
    for shape in shapes:
        layer.input_param.shape.add().dim.extend(shape)


def _set_input_shapes(net: Any, inputs: Mapping[str, Shape]) -> None:
    tops = [top for layer in net.layer if role(layer) == "input" for top in layer.top]
    unknown = [name for name in inputs if name not in tops]
    if unknown:
        raise ConvertError(
            f"no input is called {', '.join(map(repr, unknown))}; the net's inputs are {', '.join(tops) or 'none'}"
        )
    for layer in net.layer:
        if role(layer) != "input" or not any(top in inputs for top in layer.top):
            continue
        _give_shapes(layer, [inputs.get(top, shape) for top, shape in zip(layer.top, _shapes(layer), strict=True)])
