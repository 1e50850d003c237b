"""Weights into a net: reading a file of them by its kind, and copying by layer name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from caffe_port.errors import WeightsError
from caffe_port.graph import Graph
from caffe_port.proto.binary import LayerBlobs, read_net


@dataclass
class CopySummary:
    """What `copy_from` did, by layer name: copied, only in the file, left at their filler."""

    source: str
    copied: list[str] = field(default_factory=list)
    only_in_file: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        def some(names: list[str]) -> str:
            shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            return f" ({shown})" if names else ""

        return (
            f"{self.source}: {len(self.copied)} layers copied; {len(self.only_in_file)} only in the file"
            f"{some(self.only_in_file)}; {len(self.left)} left at their filler{some(self.left)}"
        )


def read_layers(source: Any) -> list[LayerBlobs]:
    """The blobs of every layer of `source`: a path (.caffemodel, .h5), or a NetParameter that carries them."""
    if isinstance(source, str | os.PathLike):
        if is_hdf5(source):
            from caffe_port import hdf5

            return hdf5.read_layers(source)
        return read_net(source).layers
    return [
        LayerBlobs(
            layer.name, layer.type, [_array(b) for b in layer.blobs], [None] * len(layer.blobs), _is_legacy(layer)
        )
        for layer in source.layer
    ]


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether the file is an HDF5 file, by its first bytes as in Caffe; one that cannot be read, by its name."""
    try:
        with open(path, "rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return str(path).endswith((".h5", ".hdf5"))


def _is_legacy(layer: Any) -> bool:
    return any(not b.HasField("shape") for b in layer.blobs)


def _array(blob: Any) -> np.ndarray:
    values = np.array(blob.double_data if blob.double_data else blob.data, dtype=np.float32)
    shape = blob.shape.dim if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(tuple(shape))


def copy_into(graph: Graph, layers: Sequence[LayerBlobs], source: str) -> CopySummary:
    """Copy blobs to layers of the same name (the first of it, as in Caffe). Source: `Net::CopyTrainedLayersFrom`.

    A layer only in the file is ignored and named in the summary; one that the file lacks keeps its filler. A different
    number of blobs, or other shapes, is a WeightsError and copies nothing of any layer.
    """
    targets: dict[str, Any] = {}
    for node in graph.nodes:
        targets.setdefault(node.name, node.layer)
    summary = CopySummary(source)
    plan: list[tuple[torch.Tensor, np.ndarray]] = []
    for given in layers:
        layer = targets.get(given.name)
        if layer is None:
            if given.blobs:
                summary.only_in_file.append(given.name)
            continue
        names = layer.present_blobs
        blobs = list(given.blobs) + [None] * sum(n in layer.shared for n in names[len(given.blobs) :])
        if len(blobs) != len(names):
            raise WeightsError(
                f"{layer.title}: {source} has {len(given.blobs)} blobs for it, the net wants {len(names)}; "
                "rename the layer to learn it from scratch"
            )
        for i, (name, theirs, mine) in enumerate(zip(names, blobs, layer.blobs, strict=True)):
            if theirs is None:  # HDF5 files hold a shared blob under its owner only
                if name not in layer.shared:
                    raise WeightsError(
                        f"{layer.title}: {source} lacks blob {i} ('{name}'), which no other layer shares"
                    )
                continue
            if not same_shape(theirs.shape, tuple(mine.shape), given.legacy):
                raise WeightsError(
                    f"{layer.title}: blob {i} is {tuple(theirs.shape)} in {source} but {tuple(mine.shape)} here; "
                    "rename the layer to learn it from scratch"
                )
            plan.append((mine, theirs))
        if given.blobs:
            summary.copied.append(given.name)
    with torch.no_grad():
        for mine, theirs in plan:
            values = np.array(theirs, dtype=np.float32)  # a writable copy: `theirs` may be a view of a read-only file
            mine.copy_(torch.from_numpy(values.reshape(tuple(mine.shape))))
    copied = set(summary.copied)
    summary.left = [  # a layer all of whose blobs other layers own has none of its own to fill
        n.name
        for n in graph.nodes
        if n.name not in copied and any(blob not in n.layer.shared for blob in n.layer.present_blobs)
    ]
    return summary


def same_shape(theirs: Sequence[int], mine: Sequence[int], legacy: bool) -> bool:
    """Equal; or, for a file of num/channels/height/width blobs, equal after leading ones (Blob::ShapeEquals)."""
    if tuple(theirs) == tuple(mine):
        return True
    return legacy and len(mine) <= 4 and tuple(theirs) == (1,) * (4 - len(mine)) + tuple(mine)
