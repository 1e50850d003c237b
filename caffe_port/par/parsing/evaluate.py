"""A trained body parser against a prepared split: pixel accuracy and mean IoU, beside the commonest class."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe_port.atomic import atomic_write
from caffe_port.errors import NetError
from caffe_port.net import Net
from caffe_port.par.datasets.base import LIP_CLASSES
from caffe_port.par.evaluation_net import records
from caffe_port.par.metrics import Confusion, SegmentationResult
from caffe_port.proto import caffe_pb2, load
from caffe_port.proto.filter import filter_net

PARTS = {"data": "image", "seg": "seg"}


@dataclass
class ParserEvaluation:
    """`chance` predicts the commonest class everywhere. `confusion` is pixels by true (row) and predicted class."""

    model: str
    weights: str
    data: str
    split: str
    samples: int
    seconds: float
    classes: list[str]
    result: SegmentationResult
    chance: SegmentationResult
    confusion: np.ndarray = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        names = "model weights data split samples seconds classes".split()
        parts = {"result": self.result.to_json(), "chance": self.chance.to_json()}
        return {**{n: getattr(self, n) for n in names}, **parts, "confusion": self.confusion.tolist()}

    def save(self, path: str | os.PathLike[str]) -> None:
        with atomic_write(path) as f:
            f.write((json.dumps(self.to_json(), indent=1) + "\n").encode())

    def table(self) -> str:
        head = f"{self.weights} on {self.data} ({self.split}, {self.samples} samples, {self.seconds:.1f} s)"
        chance = f"the commonest class everywhere: pixel accuracy {100 * self.chance.pixel_accuracy:.2f}, mean IoU "
        return f"{head}\n{chance}{100 * self.chance.mean_iou:.2f}\n\n{self.result.table()}"


def evaluate_parser(
    model: str | os.PathLike[str],
    weights: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    split: str = "test",
    batch: int = 16,
    device: str | torch.device = "cpu",
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ParserEvaluation:
    """Run the split once through the parser's train_val.prototxt. `data` is a folder of `caffe-port par prepare`; None:
    the databases that the file names for TEST. Raises NetError for a file that is no parser's."""
    param, sources, scores = scoring_net(model, data, split, batch)
    total = records(sources)
    total = min(total, limit) if limit else total
    net = Net(param)
    net.copy_from(os.fspath(weights))
    net.to(device)
    folder = Path(data if data is not None else Path(sources["seg"]).parent)
    count = net.graph.last[scores].shape[1]
    confusion = Confusion(class_names(folder, count))
    started = time.perf_counter()
    with torch.inference_mode():
        for first in range(0, total, batch):
            here = min(batch, total - first)
            outputs = net.run(prune=False).outputs
            truth = outputs["seg"][:here, 0].cpu().numpy().astype(np.uint8)
            confusion.add(truth, outputs[scores][:here].argmax(1).cpu().numpy())
            if progress:
                progress(first + here, total)
    constant = Confusion(confusion.classes)
    actual = confusion.counts.sum(1)
    constant.counts[:, int(actual.argmax())] = actual
    return ParserEvaluation(
        os.fspath(model), os.fspath(weights), str(folder), split, total, time.perf_counter() - started,
        confusion.classes, confusion.result(), constant.result(), confusion.counts,
    )  # fmt: skip


def scoring_net(
    model: str | os.PathLike[str], data: str | os.PathLike[str] | None, split: str, batch: int
) -> tuple[Any, dict[str, str], str]:
    """The TEST phase without loss and accuracy, the databases that it reads, and the name of the scores."""
    param = filter_net(load.read_net(model), caffe_pb2.TEST)
    loss = next((layer for layer in param.layer if layer.name == "seg_loss"), None)
    if loss is None:
        raise NetError(
            f"{model}: has no layer seg_loss; this evaluates the train_val.prototxt of `caffe-port par parser`"
        )
    made, sources = caffe_pb2.NetParameter(name=param.name), {}
    for layer in param.layer:
        if layer.type == "Data":
            layer.data_param.batch_size = batch
            if data is not None:
                layer.data_param.source = str(Path(data, f"{split}_{PARTS[layer.top[0]]}_lmdb"))
            sources[layer.top[0]] = layer.data_param.source
        if layer.name not in ("seg_loss", "seg_accuracy"):
            made.layer.add().CopyFrom(layer)
    return made, sources, loss.bottom[0]


def class_names(folder: Path, count: int) -> list[str]:
    """The folder's classes.txt where it fits, else Look-Into-Person's names for twenty classes, else numbers."""
    path = folder / "classes.txt"
    named = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if len(named) == count:
        return named
    return list(LIP_CLASSES) if count == len(LIP_CLASSES) else [f"class {i}" for i in range(count)]
