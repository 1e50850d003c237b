"""The neutral model that every format reads into and writes from: a net in Caffe's words, and its weights by layer.

A format that stores named arrays needs only `Model.named_blobs` and `from_named`; names are `<layer>.<blob name>` with
the layer's name as it is, and the blob's name from the layer class (`conv1.weight`), so no table of names is kept
anywhere.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caffe_port.errors import ConvertError, WeightsError
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text, upgrade
from caffe_port.proto.binary import LayerBlobs
from converters.deploy import deploy, refuse_code

Shape = tuple[int, ...]
MOST_DRAWN = 2**30
"""Weights that the fillers draw for a net that came without any: 4 GiB. VGG-16 has 2**27."""


@dataclass
class Model:
    """A net and its weights.

    net     NetParameter in the current format, without blobs; from `converters.read` it is the deploy net (see
    deploy.py) layers  the blobs by layer, in Caffe's order; None: the file held none, the fillers of `net` make them
    notes   what was left out or assumed on the way here, in sentences for the user
    """

    net: Any
    layers: list[LayerBlobs] | None
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.net.name

    @property
    def prototxt(self) -> str:
        return text.format(self.net)

    def layer_blobs(self) -> list[LayerBlobs]:
        """The blobs by layer; where the source held none, what the fillers draw (once, from torch's generator)."""
        if self.layers is None:
            count = sum(math.prod(slot.shape) for slot in blob_slots(self.net) if slot.owner is None)
            if count > MOST_DRAWN:
                raise WeightsError(f"net '{self.name}' has {count} weights: more than are drawn without being asked to")
            self.layers = [given for given in Net(self.net).layer_blobs() if given.blobs]
            self.notes.append("the source holds no weights: they were drawn by the net's fillers")
        return self.layers

    def runtime(self) -> Net:
        """The net in the TEST phase with these weights, ready to run. Weights that do not fit are a WeightsError."""
        net = Net(self.net)
        given = self.layer_blobs()
        present = {layer.name for layer in given}
        missing = [layer.name for layer in net.layers if layer.present_blobs and layer.name not in present]
        if missing:
            raise WeightsError(f"the weights lack these layers of net '{self.name}': {', '.join(missing)}")
        net.copy_from(given)
        return net

    def borrowed(self) -> Net:
        """Like `runtime`, but over the weights' own memory, which may be a file mapped for reading: no copies.

        For running only: writing to its blobs would end the process. Those that a forward pass itself writes to, the
        statistics of a BatchNorm, are copies.
        """
        named = self.named_blobs()
        with torch.device("meta"):
            net = Net(self.net)
        for layer in net.layers:
            for blob in (b for b in layer.present_blobs if b not in layer.shared):
                tensor = as_tensor(named[f"{layer.name}.{blob}"])
                if isinstance(getattr(layer, blob), nn.Parameter):
                    layer._parameters[blob] = nn.Parameter(tensor, requires_grad=False)
                else:
                    layer._buffers[blob] = tensor.clone()
        meta = any(tensor.is_meta for tensor in [*net.parameters(), *net.buffers()])
        return self.runtime() if meta else net  # a layer that makes tensors besides its blobs

    def release(self) -> None:
        """Give back the memory of mapped files that the weights lie in; it is filled again where they are read."""
        files = [mapped_file(blob) for layer in self.layers or [] for blob in layer.blobs]
        for file in {id(file): file for file in files if file is not None}.values():
            file.madvise(mmap.MADV_DONTNEED)

    def named_blobs(self) -> dict[str, np.ndarray]:
        """Every blob by `<layer>.<blob name>`, in the net's order, shaped as the layer wants it. No copies.

        Raises WeightsError with everything that does not fit, at once.
        """
        given = {layer.name: layer for layer in self.layer_blobs()}
        named: dict[str, np.ndarray] = {}
        wrong = []
        for layer, slots in by_layer(blob_slots(self.net)).items():
            blobs = given[layer].blobs if layer in given else []
            if len(blobs) != len(slots):
                names = ", ".join(slot.blob for slot in slots)
                wrong.append(f"layer '{layer}' has {len(slots)} blob(s) ({names}), the weights have {len(blobs)}")
                continue
            for slot, array in zip(slots, blobs, strict=True):
                if same_shape(array.shape, slot.shape):
                    named[slot.key] = caffe_array(array, f"blob '{slot.key}'").reshape(slot.shape)
                else:
                    wrong.append(f"'{slot.key}' is {slot.shape} in the net, {tuple(array.shape)} in the weights")
        if wrong:
            raise WeightsError(f"the weights do not fit net '{self.name}':\n  " + "\n  ".join(wrong))
        return named


@dataclass(frozen=True)
class BlobSlot:
    """One blob that a net wants: its layer, that layer's type, its name, shape; `owner`: the key it shares."""

    layer: str
    type: str
    blob: str
    shape: Shape
    owner: str | None = None

    @property
    def key(self) -> str:
        return f"{self.layer}.{self.blob}"


def blob_slots(net: Any) -> list[BlobSlot]:
    """The blobs that `net` wants in the TEST phase, in Caffe's order. Nothing is allocated or filled."""
    return list(_slots(net.SerializeToString(deterministic=True)))


@lru_cache(maxsize=8)  # every step of a conversion asks for the same net's
def _slots(serialized: bytes) -> tuple[BlobSlot, ...]:
    net = caffe_pb2.NetParameter.FromString(serialized)
    with torch.device("meta"):
        layers = [layer for layer in Net(net).layers if layer.present_blobs]
    names = [layer.name for layer in layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConvertError(
            f"net '{net.name}' has several layers of one name: {', '.join(twice)}; rename them, blobs go by name"
        )
    slots = []
    for layer in layers:
        for blob in layer.present_blobs:
            shared = layer.shared.get(blob)
            owner = f"{shared[0].name}.{shared[1]}" if shared else None
            slots.append(BlobSlot(layer.name, layer.param.type, blob, tuple(getattr(layer, blob).shape), owner))
    return tuple(slots)


def by_layer(slots: Sequence[BlobSlot]) -> dict[str, list[BlobSlot]]:
    grouped: dict[str, list[BlobSlot]] = {}
    for slot in slots:
        grouped.setdefault(slot.layer, []).append(slot)
    return grouped


def same_shape(stored: Sequence[int], wanted: Sequence[int]) -> bool:
    """Equal, or equal after leading ones: files from before Caffe had N-D blobs store four axes (Blob::ShapeEquals)."""
    stored, wanted = tuple(stored), tuple(wanted)
    return stored == wanted or (len(stored) == 4 and len(wanted) < 4 and stored == (1,) * (4 - len(wanted)) + wanted)


def from_named(named: Mapping[str, np.ndarray], net: Any, where: str) -> Model:
    """The model whose blobs are `named` by `<layer>.<blob name>`: the inverse of `Model.named_blobs`.

    A shared blob may be given under its owner's name alone. Every missing or unexpected name and every wrong shape is
    reported at once (WeightsError). `where` names the file.
    """
    slots = blob_slots(net)
    found = {slot.key: named.get(slot.key, named.get(slot.owner) if slot.owner else None) for slot in slots}
    problems = [f"missing: '{slot.key}' {slot.shape}" for slot in slots if found[slot.key] is None]
    problems += [f"not in the net: '{key}' {tuple(array.shape)}" for key, array in named.items() if key not in found]
    for slot in slots:
        array = found[slot.key]
        if array is None:
            continue
        if slot.owner and slot.key not in named and array.size == int(np.prod(slot.shape)):
            found[slot.key] = array.reshape(slot.shape)
        elif tuple(array.shape) != slot.shape:
            problems.append(f"shape: '{slot.key}' is {slot.shape} in the net, {tuple(array.shape)} in the file")
    if problems:
        raise WeightsError(f"{where}: the weights do not fit net '{net.name}':\n  " + "\n  ".join(problems))
    layers = []
    for layer, own in by_layer(slots).items():
        blobs = [caffe_array(found[slot.key], f"{where}: '{slot.key}'") for slot in own]
        layers.append(LayerBlobs(layer, own[0].type, blobs, [None] * len(blobs)))
    return Model(net, layers)


def caffe_array(array: Any, what: str) -> np.ndarray:
    """The array as Caffe's float32 (narrower floats exactly, float64 rounded); other types are a WeightsError."""
    array = np.asarray(array)
    if array.dtype == np.float32:
        return array
    if array.dtype in (np.float16, np.float64):
        return array.astype(np.float32)
    raise WeightsError(f"{what} is of type {array.dtype}, which is no blob of Caffe's; convert it to float32 first")


def mapped_file(array: np.ndarray) -> mmap.mmap | None:
    """The mapped file whose memory the array is a view of, where it is and the system can be told about it."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    held = base.obj if isinstance(base, memoryview) else base
    return held if isinstance(held, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") else None


def need_net(net: Any | None, where: Any) -> Any:
    """`net`, or the error that says how to give one."""
    if net is None:
        raise ConvertError(f"{where} holds weights only; give the net that they belong to with model=deploy.prototxt")
    return net


def parse_net(prototxt: str, where: Any) -> Any:
    """The deploy net of a prototxt that is embedded in the file `where`."""
    parsed = text.parse(prototxt, caffe_pb2.NetParameter, source=f"{where} (embedded prototxt)")
    net = deploy(upgrade.upgrade_net(parsed.message))[0]
    refuse_code(net, where)
    return net


def as_tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor over the same memory. It may lie in a file mapped for reading: never write to it."""
    array = np.require(array, requirements="C")  # unlike ascontiguousarray, keeps shape ()
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    with contextlib.ExitStack() as stack:
        if not array.flags.writeable:
            # torch warns that writing to it would be undefined. We only hand it on to be saved or run.
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.from_numpy(array)
