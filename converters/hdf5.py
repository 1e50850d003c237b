"""`.caffemodel.h5`: Caffe's HDF5 weights (see caffe_port/hdf5.py for the layout), with the net put beside them.

Caffe keeps no net in such a file. We add it as the text `prototxt` at the root, where Caffe does not look, so that the
file reads back alone; files without it need `model=`. A shared blob is stored under its owner only, as Caffe does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffe_port import hdf5
from caffe_port.errors import WireError
from caffe_port.proto.binary import LayerBlobs
from converters.model import Model, blob_slots, by_layer, need_net, parse_net
from converters.optional import need

EXTENSIONS = (".caffemodel.h5", ".h5", ".hdf5")
IN_FOLDERS = (".caffemodel.h5",)
"""A plain .h5 may be data just as well."""
MOST_TEXT = 2**26
"""Bytes that an embedded prototxt may have: 64 MiB."""


def read(path: Path, net: Any | None) -> Model:
    layers = hdf5.read_layers(path)
    if net is None:
        net = need_net(_embedded_net(path), path)
    return Model(net, _with_shared(layers, net))


def write(model: Model, path: Path) -> None:
    named = model.named_blobs()
    slots = by_layer(blob_slots(model.net))
    layers = []
    for layer in model.net.layer:
        own = slots.get(layer.name, [])
        blobs: list[Any] = [None if slot.owner else named[slot.key] for slot in own]
        layers.append(LayerBlobs(layer.name, layer.type, blobs, [None] * len(blobs)))
    hdf5.write_layers(path, layers)
    with need("h5py", "hdf5").File(path, "a") as file:
        file["prototxt"] = np.bytes_(model.prototxt.encode("utf-8"))


def _embedded_net(path: Path) -> Any | None:
    with need("h5py", "hdf5").File(path, "r") as file:
        held = file.get("prototxt")
        if held is None:
            return None
        text = held[()] if getattr(held, "shape", None) == () and held.nbytes <= MOST_TEXT else None
        if not isinstance(text, bytes | str):
            raise WireError(f"{path}: its 'prototxt' is no text")
    return parse_net(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, path)


def _with_shared(layers: list[LayerBlobs], net: Any) -> list[LayerBlobs]:
    """The layers with shared blobs, which the file holds once, under every layer that uses them."""
    slots = by_layer(blob_slots(net))
    stored = {layer.name: layer for layer in layers}
    by_key = {
        s.key: b for name, own in slots.items() if name in stored for s, b in zip(own, stored[name].blobs, strict=False)
    }
    for name, own in slots.items():
        if not any(slot.owner for slot in own):
            continue
        given = stored.setdefault(name, LayerBlobs(name, own[0].type, [], []))
        blobs = list(given.blobs) + [None] * (len(own) - len(given.blobs))
        for i, slot in enumerate(own):
            if blobs[i] is None and slot.owner and by_key.get(slot.owner) is not None:
                blobs[i] = by_key[slot.owner].reshape(slot.shape)
        given.blobs = blobs  # type: ignore[assignment]
    holes = [f"{name}/{i}" for name, layer in stored.items() for i, blob in enumerate(layer.blobs) if blob is None]
    if holes:
        raise WireError(f"the file lacks the datasets {', '.join('data/' + hole for hole in holes)}")
    return list(stored.values())
