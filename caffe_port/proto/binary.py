"""Caffe's binary files in and out: .caffemodel, .solverstate, .binaryproto.

Reading maps the file and gives the blobs as read-only NumPy views of it; files over 2 GiB read the same way. Writing
streams the arrays in the order of C++ protobuf, so that a genuine Caffe reads what we write and would have written
the same bytes. A file appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffe_port.atomic import atomic_write
from caffe_port.errors import WireError
from caffe_port.proto import blobproto, caffe_pb2, mapped, upgrade_v0, upgrade_v1, wire
from caffe_port.proto.upgrade import refuse_mixed

LIMIT = 2**31 - 1  # protobuf's limit of one message, hence of one file


@dataclass
class LayerBlobs:
    """The blobs of one layer: float32 arrays (float64 from double_data, float16 from NVCaffe's half precision)."""

    name: str
    type: str = ""  # today's name of the type, whatever the file's format
    blobs: list[np.ndarray] = field(default_factory=list)
    diffs: list[np.ndarray | None] = field(default_factory=list)  # as long as blobs, or empty
    legacy: bool = False  # shapes are num, channels, height, width


@dataclass
class NetFile:
    """What a .caffemodel holds: `param` in the file's own format without its blobs, and `layers`, one for each of its
    layers in their order, also for those without blobs."""

    param: Any
    layers: list[LayerBlobs]
    source: str


def read_net(path: str | os.PathLike[str]) -> NetFile:
    """A .caffemodel of any format (V0, V1, today's). Raises WireError, or NetError for one that mixes formats."""
    param, blobs = mapped.read(path, caffe_pb2.NetParameter)
    source = os.fspath(path)
    refuse_mixed(param, source)
    entries = param.layers or param.layer
    if not entries and not param.input:
        raise WireError(f"{source}: holds no layer of a net; is it a .solverstate or a .binaryproto?")
    layers = [LayerBlobs(*_name_and_type(entry)) for entry in entries]
    for trail, blob in blobs:
        layer = layers[trail[0].nth]
        layer.blobs.append(blob.data)
        layer.diffs.append(blob.diff)
        layer.legacy |= blob.legacy
    return NetFile(param, layers, source)


def write_net(path: str | os.PathLike[str], param: Any, layers: Sequence[LayerBlobs]) -> None:
    """Write a .caffemodel: the definitions of `param` (in its own format) with the blobs of `layers`.

    `layers` belong to the layers of `param` by their names, in order; a layer of `param` without an entry is written
    without blobs. Raises WireError, before anything is written, for an entry without a layer and for a file that
    would exceed 2 GiB.
    """
    source = os.fspath(path)
    old = bool(param.layers)
    entries = param.layers if old else param.layer
    chosen = _match(entries, layers, source)
    net = caffe_pb2.NetParameter()
    net.CopyFrom(param)
    net.ClearField("layer")
    net.ClearField("layers")
    inner: list[list[blobproto.Part]] = []
    for entry, layer in zip(entries, chosen, strict=True):
        inner.append(_layer_parts(entry, layer, old))
    _write(path, _insert(net, 2 if old else 100, inner))


def read_blob(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in a .binaryproto (a mean image, for one), with the shape as written: num, channels, height, width or
    `shape`.
    """
    _, blobs = mapped.read(path, caffe_pb2.BlobProto)
    return blobs[0][1].data


def write_blob(path: str | os.PathLike[str], array: np.ndarray, legacy: bool = False) -> None:
    """Write a .binaryproto. `legacy` writes num, channels, height and width, as compute_image_mean does."""
    _write(path, blobproto.parts(np.asarray(array), None, legacy))


def read_solverstate(path: str | os.PathLike[str]) -> tuple[Any, list[np.ndarray]]:
    """(SolverState without its history, the history's arrays)."""
    state, blobs = mapped.read(path, caffe_pb2.SolverState)
    if not state.HasField("iter"):
        raise WireError(f"{os.fspath(path)}: holds no solver state: no iteration in it")
    return state, [blob.data for _, blob in blobs]


def write_solverstate(
    path: str | os.PathLike[str], iter: int, learned_net: str, history: Sequence[np.ndarray], current_step: int
) -> None:
    """Write a .solverstate as Caffe's SGDSolver does."""
    state = caffe_pb2.SolverState(iter=iter, learned_net=learned_net, current_step=current_step)
    _write(path, _insert(state, 3, [blobproto.parts(np.asarray(array)) for array in history]))


def _name_and_type(entry: Any) -> tuple[str, str]:
    if entry.DESCRIPTOR.name == "LayerParameter":
        return entry.name, entry.type
    if entry.HasField("layer"):
        kind = upgrade_v0.TYPES.get(entry.layer.type)
        return entry.layer.name, upgrade_v1.TYPES[kind] if kind else entry.layer.type
    return entry.name, upgrade_v1.type_name(entry.type)


def _match(entries: Any, layers: Sequence[LayerBlobs], source: str) -> list[LayerBlobs | None]:
    """For each layer of the net its blobs, or None: the next entry of the same name."""
    waiting: dict[str, list[LayerBlobs]] = {}
    for layer in layers:
        waiting.setdefault(layer.name, []).append(layer)
    chosen = [queue.pop(0) if (queue := waiting.get(_name_and_type(entry)[0])) else None for entry in entries]
    left = [name for name, queue in waiting.items() if queue]
    if left:
        raise WireError(
            f"{source}: not written: blobs for {', '.join(map(repr, left[:8]))}, but the net has no such layer"
        )
    return chosen


def _layer_parts(entry: Any, layer: LayerBlobs | None, old: bool) -> list[blobproto.Part]:
    """The bytes of one layer with its blobs where its format has them."""
    diffs = (layer.diffs or [None] * len(layer.blobs)) if layer else []
    blobs = [
        blobproto.parts(np.asarray(data), None if diff is None else np.asarray(diff), layer.legacy)
        for data, diff in zip(layer.blobs if layer else [], diffs, strict=True)
        if layer
    ]
    bare = type(entry)()
    bare.CopyFrom(entry)
    bare.ClearField("blobs")
    if old and entry.HasField("layer"):
        inside = type(entry.layer)()
        inside.CopyFrom(entry.layer)
        inside.ClearField("blobs")
        bare.ClearField("layer")
        return _insert(bare, 1, [_insert(inside, 50, blobs)])
    return _insert(bare, 6 if old else 7, blobs)


def _insert(message: Any, number: int, inner: list[list[blobproto.Part]]) -> list[blobproto.Part]:
    """The bytes of a message, ordered by field number, with the submessages `inner` as field `number`."""
    raw = memoryview(message.SerializeToString(deterministic=True))
    chunks = sorted(wire.fields(raw, 0, len(raw)), key=lambda chunk: chunk.number)
    out: list[blobproto.Part] = [bytes(raw[c.at : c.end]) for c in chunks if c.number < number]
    for pieces in inner:
        out.append(wire.tag(number, wire.LENGTH) + wire.encode_varint(blobproto.size(pieces)))
        out += pieces
    return out + [bytes(raw[c.at : c.end]) for c in chunks if c.number >= number]


def _write(path: str | os.PathLike[str], pieces: list[blobproto.Part]) -> None:
    total = blobproto.size(pieces)
    if total > LIMIT:
        raise WireError(
            f"{os.fspath(path)}: not written: it would have {total} bytes, and protobuf (hence Caffe) reads at most "
            f"{LIMIT}; write HDF5 instead (snapshot_format: HDF5)"
        )
    with atomic_write(path) as f:
        for piece in pieces:
            f.write(piece)
