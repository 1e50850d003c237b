"""A trained network of the paper against a prepared split: the five measures of each stage, and its segmentations.

    result = evaluate("train_val.prototxt", "joint.caffemodel", data="data/drawn", split="test")
    print(result.table()); result.save("evaluation.json"); result.save_pictures("pictures.npz")

Stage I is head 1 (par1, seg1), stage II is head 2. A prediction is positive at a probability above 0.5, that is at a
logit above 0; a pixel's class is the largest score.
"""

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
from caffe_port.errors import DataError
from caffe_port.net import Net
from caffe_port.par.evaluation_net import EvaluationNet, evaluation_net, records
from caffe_port.par.metrics import AttributeResult, Confusion, SegmentationResult, evaluate_attributes

Progress = Callable[[int, int], None]  # records done, records in all


@dataclass
class Stage:
    """One head's results; `segmentation` is None where the net or the data have none."""

    attributes: AttributeResult
    segmentation: SegmentationResult | None = None


@dataclass
class Evaluation:
    """Everything about one model on one split.

    `chance` is what needs no picture: every attribute predicted by its training rate alone (its mA is 0.5 by
    definition), every pixel by the commonest class. `probabilities` (head -> samples x attributes) and `truth` stay in
    memory only; `pictures` are the arrays that `save_pictures` writes.
    """

    model: str
    weights: str
    data: str
    split: str
    samples: int
    seconds: float
    attributes: list[str]
    classes: list[str]
    rates: list[float]
    rates_of: str
    stages: dict[int, Stage]
    chance: Stage
    probabilities: dict[int, np.ndarray] = field(repr=False, default_factory=dict)
    truth: np.ndarray = field(repr=False, default_factory=lambda: np.zeros((0, 0), np.uint8))
    pictures: dict[str, np.ndarray] = field(repr=False, default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dump."""
        names = "model weights data split samples seconds attributes classes rates rates_of".split()
        stages = {str(number): _stage_json(stage) for number, stage in self.stages.items()}
        return {**{n: getattr(self, n) for n in names}, "stages": stages, "chance": _stage_json(self.chance)}

    def save(self, path: str | os.PathLike[str]) -> None:
        with atomic_write(path) as f:
            f.write((json.dumps(self.to_json(), indent=1) + "\n").encode())

    def save_pictures(self, path: str | os.PathLike[str]) -> None:
        """An npz: `keys`, `image` (RGB), `truth`, `seg` (truth), `seg1`, `seg2` (predictions), `prob1`, `prob2` and the
        activation maps by their blobs' names; one entry a picture, first axis. Raises DataError when none were kept."""
        if not self.pictures:
            raise DataError("no pictures were kept; evaluate with pictures=N")
        with atomic_write(path) as f:
            np.savez_compressed(f, **self.pictures)  # type: ignore[arg-type]

    def table(self) -> str:
        """The measures side by side, then each stage's attributes and classes."""
        lines = [f"{self.weights} on {self.data} ({self.split}, {self.samples} samples, {self.seconds:.1f} s)", ""]
        lines.append(f"{'percent':<10} {'mA':>6} {'Acc':>6} {'Prec':>6} {'Rec':>6} {'F1':>6} {'pixels':>7} {'mIoU':>6}")
        for name, stage in [("chance", self.chance), *((f"stage {n}", s) for n, s in self.stages.items())]:
            five = " ".join(f"{100 * value:6.2f}" for value in stage.attributes.five)
            seg = stage.segmentation
            pixels = f" {100 * seg.pixel_accuracy:7.2f} {100 * seg.mean_iou:6.2f}" if seg else ""
            lines.append(f"{name:<10} {five}{pixels}")
        for number, stage in self.stages.items():
            lines += ["", f"Stage {number}: attributes, weakest first", stage.attributes.table()]
            if stage.segmentation:
                lines += ["", f"Stage {number}: segmentation (IoU by class)", stage.segmentation.table()]
        return "\n".join(lines)


def evaluate(
    model: str | os.PathLike[str],
    weights: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    split: str = "test",
    batch: int = 32,
    device: str | torch.device = "cpu",
    limit: int | None = None,
    pictures: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Run the split once through the net of `model` (train_val.prototxt, or a deploy.prototxt beside one).

    `data` is a folder of `caffe-port par prepare`; None: the databases that the file itself names for TEST. `limit`
    keeps to the first records, `pictures` keeps that many samples with their maps, spread evenly over the split. Raises
    NetError, WeightsError and DataError where the three do not fit each other.
    """
    found = evaluation_net(model, data, split, batch)
    folder = Path(data if data is not None else Path(found.sources["attr"]).parent)
    total = records(found.sources)
    total = min(total, limit) if limit else total
    net = Net(found.param)
    net.copy_from(os.fspath(weights))
    net.to(device)
    start = time.perf_counter()
    gathered = _Gathered(found, total, pictures, _names(folder / "classes.txt"))
    with torch.inference_mode():
        for first in range(0, total, batch):
            gathered.batch(net, first, min(batch, total - first))
            if progress:
                progress(min(first + batch, total), total)
    seconds = time.perf_counter() - start
    truth = np.concatenate(gathered.truth)
    names = _names(folder / "attributes.txt") or [f"attribute {i + 1}" for i in range(truth.shape[1])]
    if len(names) != truth.shape[1]:
        raise DataError(f"{folder / 'attributes.txt'} names {len(names)} attributes, the records hold {truth.shape[1]}")
    rates, rates_of = _rates(folder / "positive_rates.txt", truth)
    probabilities = {n: np.concatenate(parts) for n, parts in gathered.probabilities.items()}
    stages = {
        n: Stage(evaluate_attributes(p, truth, names), gathered.segmentation(n)) for n, p in probabilities.items()
    }
    constant = np.broadcast_to(np.asarray(rates), truth.shape)
    return Evaluation(
        model=os.fspath(model), weights=os.fspath(weights), data=str(folder), split=split, samples=total,
        seconds=seconds, attributes=names, classes=gathered.classes, rates=rates, rates_of=rates_of, stages=stages,
        chance=Stage(evaluate_attributes(constant, truth, names), gathered.commonest_class()),
        probabilities=probabilities, truth=truth, pictures=gathered.pictures(),
    )  # fmt: skip


class _Gathered:
    """What the batches add up to."""

    def __init__(self, found: EvaluationNet, total: int, pictures: int, classes: list[str]) -> None:
        self.found = found
        self.truth: list[np.ndarray] = []
        self.probabilities: dict[int, list[np.ndarray]] = {n: [] for n in found.logits}
        self.confusions: dict[int, Confusion] = {}
        self.classes = classes
        count = min(pictures, total)
        self.chosen = {int((i + 0.5) * total / count) for i in range(count)}
        self.kept: dict[str, list[np.ndarray]] = {}

    def batch(self, net: Net, first: int, count: int) -> None:
        """One forward pass; `count` is less than the batch at the end, where the databases wrap."""
        wanted = [i for i in range(count) if first + i in self.chosen]
        blobs = {"attr_flat", *self.found.logits.values(), *self.found.scores.values()}
        if "seg" in self.found.sources:
            blobs.add("seg")
        if wanted:
            blobs |= {"data", *self.found.maps.values()}
            ids = {name: net.graph.last[name].id for name in blobs}
            kept = net.run(keep=set(ids.values()), prune=False).values
            values = {name: kept[id] for name, id in ids.items()}
        else:
            values = net.run(prune=False).outputs
        truth = values["attr_flat"][:count].cpu().numpy().astype(np.uint8)
        self.truth.append(truth)
        for number, blob in self.found.logits.items():
            logits = values[blob][:count].double()
            if logits.shape[1] != truth.shape[1]:
                holds = f"{self.found.sources['attr']} holds {truth.shape[1]} attributes"
                raise DataError(f"{holds}, the net predicts {logits.shape[1]}")
            self.probabilities[number].append(torch.sigmoid(logits).cpu().numpy())
        labels = values["seg"][:count, 0].cpu().numpy().astype(np.uint8) if "seg" in values else None
        predicted = {n: values[blob][:count].argmax(1).cpu().numpy() for n, blob in self.found.scores.items()}
        if labels is not None:
            for number, blob in self.found.scores.items():
                self._confusion(number, values[blob].shape[1]).add(labels, predicted[number])
        for i in wanted:
            self._keep(first + i, i, values, truth, labels, predicted)

    def segmentation(self, number: int) -> SegmentationResult | None:
        """None also where no pixel of the split has a known label."""
        confusion = self.confusions.get(number)
        return confusion.result() if confusion is not None and confusion.counts.any() else None

    def commonest_class(self) -> SegmentationResult | None:
        """The result of predicting the commonest class everywhere."""
        for confusion in self.confusions.values():
            if confusion.counts.any():
                constant = Confusion(confusion.classes)
                actual = confusion.counts.sum(1)
                constant.counts[:, int(actual.argmax())] = actual
                return constant.result()
        return None

    def pictures(self) -> dict[str, np.ndarray]:
        return {name: np.stack(parts) for name, parts in self.kept.items()}

    def _confusion(self, number: int, classes: int) -> Confusion:
        if number not in self.confusions:
            self.classes = self.classes or [f"class {i}" for i in range(classes)]
            if len(self.classes) != classes:
                raise DataError(f"classes.txt names {len(self.classes)} classes, the net predicts {classes}")
            self.confusions[number] = Confusion(self.classes)
        return self.confusions[number]

    def _keep(
        self, index: int, i: int, values: dict[str, torch.Tensor], truth: np.ndarray, labels: np.ndarray | None,
        predicted: dict[int, np.ndarray],
    ) -> None:  # fmt: skip
        image = self.found.picture(values["data"][i].cpu().numpy())
        one = {"index": np.array(index), "image": image, "truth": truth[i]}
        if labels is not None:
            one["seg"] = labels[i]
        one |= {f"seg{n}": classes[i].astype(np.uint8) for n, classes in predicted.items()}
        one |= {f"prob{n}": parts[-1][i].astype(np.float32) for n, parts in self.probabilities.items()}
        one |= {name: values[blob][i].cpu().numpy().astype(np.float32) for name, blob in self.found.maps.items()}
        for name, value in one.items():
            self.kept.setdefault(name, []).append(value)


def _names(path: Path) -> list[str]:
    """A name a line; nothing where there is no such file."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _rates(path: Path, truth: np.ndarray) -> tuple[list[float], str]:
    """The training split's positive rates (0 for an attribute that it never labels), or the evaluated split's own where
    no file gives them."""
    if path.exists():
        lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
        rates = [float(line.split(",")[-1]) for line in lines if line]
        if len(rates) != truth.shape[1]:
            raise DataError(f"{path} holds {len(rates)} rates, the records hold {truth.shape[1]} attributes")
        return np.nan_to_num(rates).tolist(), "training split"
    known = (truth != 255).sum(0)
    return ((truth == 1).sum(0) / np.maximum(known, 1)).tolist(), "this split"


def _stage_json(stage: Stage) -> dict[str, Any]:
    segmentation = stage.segmentation.to_json() if stage.segmentation else None
    return {"attributes": stage.attributes.to_json(), "segmentation": segmentation}
