"""From a definition of the paper's network to a net that evaluates: the TEST data in, logits and scores out.

Taken is the TEST phase of a train_val file, so that evaluation sees exactly the transform that the file's test does; a
deploy file borrows the Data layers of the train_val file beside it. Losses, metrics and probabilities are left out.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data.db import open_db
from caffe_port.errors import DataError, NetError
from caffe_port.layers.base import REGISTRY
from caffe_port.proto import caffe_pb2, load
from caffe_port.proto.filter import filter_net

PARTS = {"data": "image", "attr": "attr", "seg": "seg"}
"""The Data layers' tops, and the parts of a prepared data set that they read."""
DROPPED = ("loss", "metric")


@dataclass
class EvaluationNet:
    """What to build, and which of its blobs mean what."""

    param: Any
    sources: dict[str, str]
    """Top of each Data layer -> the database that it reads."""
    mean: list[float] = field(default_factory=list)
    scale: float = 1.0
    logits: dict[int, str] = field(default_factory=dict)
    """Head number -> its attribute logits."""
    scores: dict[int, str] = field(default_factory=dict)
    """Head number -> its segmentation scores at the input's size."""
    maps: dict[str, str] = field(default_factory=dict)
    """Activation maps before pooling that the net has: par1_map, par2_map, att_y."""

    def picture(self, data: np.ndarray) -> np.ndarray:
        """One transformed input (3, H, W) back to RGB bytes (H, W, 3)."""
        mean = np.array(self.mean or [0.0], np.float32).reshape(-1, 1, 1)
        bgr = np.clip(np.rint(data / self.scale + mean), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(bgr[::-1].transpose(1, 2, 0))


def evaluation_net(
    model: str | os.PathLike[str], data: str | os.PathLike[str] | None, split: str, batch: int
) -> EvaluationNet:
    """Read `model` (train_val or deploy) for evaluation on the databases under `data`, or on those that it names.

    Raises NetError for a file that has no attribute head or no data to read.
    """
    param = filter_net(load.read_net(model), caffe_pb2.TEST)
    if not any(layer.type == "Data" for layer in param.layer):
        _borrow_data(param, Path(model))
    made = caffe_pb2.NetParameter(name=param.name)
    found = EvaluationNet(made, {})
    for layer in param.layer:
        if layer.type == "Data":
            _point(layer, data, split, batch)
            found.sources[layer.top[0]] = layer.data_param.source
            if layer.top[0] == "data":
                found.mean = list(layer.transform_param.mean_value)
                found.scale = layer.transform_param.scale
        _note_head(layer, found)
        if not _dropped(layer):
            made.layer.add().CopyFrom(layer)
    if not found.logits:
        raise NetError(
            f"{model}: has no blob par1_logit or par2_logit; this evaluates the nets of `caffe-port par prototxt`"
        )
    return found


def records(sources: dict[str, str]) -> int:
    """How many records the databases hold; DataError where their keys disagree."""
    first, count = next(iter(sources.values())), 0
    keys: list[bytes] | None = None
    for source in sources.values():
        with open_db(source) as db:
            cursor = db.cursor()
            theirs = [cursor.key]
            while not cursor.next():
                theirs.append(cursor.key)
        if keys is None:
            keys, count = theirs, len(theirs)
        elif keys != theirs:
            pairs = enumerate(zip(keys, theirs, strict=False))
            odd = next((i for i, (a, b) in pairs if a != b), min(count, len(theirs)))
            raise DataError(
                f"{source} and {first} differ in their keys from record {odd} on ({len(theirs)} and {count} records); "
                "prepare them together"
            )
    return count


def _dropped(layer: Any) -> bool:
    role = getattr(REGISTRY.get(layer.type), "role", "")
    return role in DROPPED or bool(re.fullmatch(r"(par|seg)\d_(loss|prob)", layer.name))


def _note_head(layer: Any, found: EvaluationNet) -> None:
    if re.fullmatch(r"par\d_logit", layer.name):
        found.logits[int(layer.name[3])] = layer.top[0]
    elif re.fullmatch(r"seg\d_(loss|prob)", layer.name):
        found.scores[int(layer.name[3])] = layer.bottom[0]
    elif layer.name in ("par1_map", "par2_map", "att_y"):
        found.maps[layer.name] = layer.top[0]


def _point(layer: Any, data: str | os.PathLike[str] | None, split: str, batch: int) -> None:
    """The layer reads that split of a prepared data set, in order, in batches of `batch`."""
    layer.data_param.batch_size = batch
    layer.data_param.ClearField("rand_skip")
    if data is None:
        return
    part = PARTS.get(layer.top[0])
    if part is None:
        raise NetError(
            f"layer '{layer.name}' (Data): makes '{layer.top[0]}'; with a data folder it may be data, attr or seg"
        )
    layer.data_param.source = str(Path(data, f"{split}_{part}_lmdb"))


def _borrow_data(param: Any, model: Path) -> None:
    """Replace a deploy net's Input by the Data layers of the train_val file beside it."""
    for name in ("train_val.prototxt", "train_val_python.prototxt"):
        if (model.parent / name).exists():
            other = filter_net(load.read_net(model.parent / name), caffe_pb2.TEST)
            break
    else:
        raise NetError(
            f"{model}: has no Data layers, and there is no train_val.prototxt beside it with the mean and scale to use"
        )
    rest = [layer for layer in param.layer if layer.type != "Input"]
    fed = [layer for layer in other.layer if layer.type == "Data" or layer.name == "attr_flat"]
    del param.layer[:]
    param.layer.extend([*fed, *rest])
