"""The paper's five measures of attributes, the table behind them, and the measures of segmentations. Pure NumPy.

Equations are those of Gao et al. 2019. Equation 8 is printed without the 1/2 that its figures have; it is with it here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from caffe_port.errors import DataError

IGNORE = 255
THRESHOLD = 0.5


@dataclass(frozen=True)
class AttributeRow:
    """One attribute: counts of truth (positives P, negatives N) and of outcomes, and what follows from them. A ratio
    over nothing is NaN (null in JSON): `tpr` without positives, `tnr` without negatives, `mA` without either."""

    name: str
    positives: int
    negatives: int
    tp: int
    tn: int
    fp: int
    fn: int
    tpr: float
    tnr: float
    mA: float  # noqa: N815 - the measure's name
    accuracy: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class AttributeResult:
    """Equations 8 to 12 and their table.

    `mA` is the mean over attributes of (TP/P + TN/N) / 2. An attribute without positives or without negatives in the
    split has no such term: counting it 0 or 1/2 would move the mean by an amount that says nothing about the model, so
    it is left out of the mean and named in `excluded`. `accuracy`, `precision` and `recall` are averages over samples;
    a sample whose denominator is empty (no positive in prediction and truth, in the prediction, in the truth) counts 0
    and stays in the average; how many there were is in the `empty_*` fields. `f1` is of the averaged precision and
    recall.
    """

    mA: float  # noqa: N815 - the measure's name
    accuracy: float
    precision: float
    recall: float
    f1: float
    samples: int
    empty_union: int
    empty_prediction: int
    empty_truth: int
    threshold: float
    excluded: list[str]
    attributes: list[AttributeRow]

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dump; NaN becomes None."""
        return _plain(asdict(self))

    def table(self) -> str:
        """Text: the five measures, then a line an attribute, weakest mA first, those without one last."""
        head = "  ".join(
            f"{name} {100 * value:.2f}" if math.isfinite(value) else f"{name} -"
            for name, value in zip(("mA", "Acc", "Prec", "Rec", "F1"), self.five, strict=True)
        )
        lines = [f"{head}  (percent; {self.samples} samples)"]
        if self.empty_union or self.empty_prediction or self.empty_truth:
            lines.append(
                f"counted 0: {self.empty_union} samples with neither prediction nor truth, "
                f"{self.empty_prediction} without prediction, {self.empty_truth} without truth"
            )
        if self.excluded:
            lines.append(f"not in mA (only one kind in this split): {', '.join(self.excluded)}")
        wide = max([len("attribute"), *(len(r.name) for r in self.attributes)])
        lines.append(
            f"{'attribute':<{wide}} {'P':>6} {'N':>6} {'mA':>6} {'TPR':>6} {'TNR':>6} {'acc':>6} {'prec':>6} {'F1':>6}"
        )
        for r in sorted(self.attributes, key=lambda r: (math.isnan(r.mA), r.mA)):
            cells = " ".join(_percent(v) for v in (r.mA, r.tpr, r.tnr, r.accuracy, r.precision, r.f1))
            lines.append(f"{r.name:<{wide}} {r.positives:>6} {r.negatives:>6} {cells}")
        return "\n".join(lines)

    @property
    def five(self) -> tuple[float, float, float, float, float]:
        """mA, accuracy, precision, recall, F1, in the order of the paper's tables."""
        return self.mA, self.accuracy, self.precision, self.recall, self.f1


def evaluate_attributes(
    probabilities: np.ndarray, truth: np.ndarray, names: Sequence[str], threshold: float = THRESHOLD
) -> AttributeResult:
    """Measures of (samples, attributes) probabilities against truth of 0, 1 and IGNORE (255: takes part in nothing).

    A prediction is positive at a probability above `threshold`, not at it. Logits may be given with a threshold of 0.
    Raises DataError for shapes that disagree, no samples, NaN, or any other value in the truth.
    """
    probabilities, truth = np.asarray(probabilities), np.asarray(truth)
    _check(probabilities, truth, names)
    known = truth != IGNORE
    says = (probabilities > threshold) & known
    real = (truth == 1) & known
    tp, fp = says & real, says & ~real
    fn, tn = ~says & real, ~says & ~real & known
    rows = [
        _row(name, *(int(m[:, i].sum()) for m in (tp, tn, fp, fn))) for i, name in enumerate(names)
    ]
    hits, predicted, actual = tp.sum(1), says.sum(1), real.sum(1)
    union = (says | real).sum(1)
    accuracy, precision, recall = (float(_share(hits, d).mean()) for d in (union, predicted, actual))
    terms = [r.mA for r in rows if not math.isnan(r.mA)]
    return AttributeResult(
        mA=float(np.mean(terms)) if terms else math.nan,
        accuracy=accuracy,
        precision=precision,
        recall=recall,
        f1=_f1(precision, recall),
        samples=len(truth),
        empty_union=int((union == 0).sum()),
        empty_prediction=int((predicted == 0).sum()),
        empty_truth=int((actual == 0).sum()),
        threshold=float(threshold),
        excluded=[r.name for r in rows if math.isnan(r.mA)],
        attributes=rows,
    )


def _check(probabilities: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> None:
    if probabilities.shape != truth.shape or truth.ndim != 2 or truth.shape[1] != len(names):
        raise DataError(
            f"probabilities are {probabilities.shape}, truth is {truth.shape} and there are {len(names)} names; "
            f"all must be samples x attributes"
        )
    if not len(truth):
        raise DataError("there is no sample to evaluate")
    bad = np.argwhere(np.isnan(probabilities))
    if len(bad):
        sample, attribute = bad[0].tolist()
        raise DataError(f"the probability of '{names[attribute]}' for sample {sample} is not a number")
    odd = np.argwhere(~np.isin(truth, (0, 1, IGNORE)))
    if len(odd):
        sample, attribute = odd[0].tolist()
        raise DataError(
            f"the truth of '{names[attribute]}' for sample {sample} is {truth[sample, attribute]}; "
            f"it may be 0, 1 or 255"
        )


def _row(name: str, tp: int, tn: int, fp: int, fn: int) -> AttributeRow:
    p, n = tp + fn, tn + fp
    tpr, tnr = _ratio(tp, p), _ratio(tn, n)
    return AttributeRow(
        name, p, n, tp, tn, fp, fn, tpr=tpr, tnr=tnr, mA=(tpr + tnr) / 2, accuracy=_ratio(tp + tn, p + n),
        precision=_ratio(tp, tp + fp), recall=tpr, f1=_ratio(2 * tp, 2 * tp + fp + fn),
    )  # fmt: skip


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


def _share(hits: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.where(of > 0, hits / np.maximum(of, 1), 0.0)


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _percent(value: float) -> str:
    return f"{'-':>6}" if math.isnan(value) else f"{100 * value:6.2f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


class Confusion:
    """Pixels by true class (row) and predicted class (column), added up picture by picture; IGNORE in the truth does
    not count."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.counts = np.zeros((len(self.classes), len(self.classes)), np.int64)

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count label maps of equal shape (any number of dimensions) of whole numbers."""
        truth, prediction = np.asarray(truth), np.asarray(prediction)
        if truth.shape != prediction.shape:
            raise DataError(f"the true labels are {truth.shape} but the predicted ones {prediction.shape}")
        known = truth != IGNORE
        t, p = truth[known].astype(np.int64), prediction[known].astype(np.int64)
        n = len(self.classes)
        for what, values in (("true", t), ("predicted", p)):
            if len(values) and not 0 <= values.min() <= values.max() < n:
                wrong = values.max() if values.max() >= n else values.min()
                raise DataError(f"a {what} label is {wrong}; there are {n} classes (0..{n - 1})")
        self.counts += np.bincount(t * n + p, minlength=n * n).reshape(n, n)

    def result(self) -> SegmentationResult:
        """Raises DataError if no pixel was counted."""
        total = int(self.counts.sum())
        if not total:
            raise DataError("no pixel with a known label was counted")
        hits, actual, predicted = np.diag(self.counts), self.counts.sum(1), self.counts.sum(0)
        iou = [_ratio(int(h), int(u)) for h, u in zip(hits, actual + predicted - hits, strict=True)]
        present = [i for i in range(len(self.classes)) if actual[i]]
        return SegmentationResult(
            pixel_accuracy=float(hits.sum() / total),
            mean_iou=float(np.mean([iou[i] for i in present])),
            mean_class_accuracy=float(np.mean([hits[i] / actual[i] for i in present])),
            pixels=total,
            iou=dict(zip(self.classes, iou, strict=True)),
            absent=[name for i, name in enumerate(self.classes) if not actual[i]],
        )


@dataclass(frozen=True)
class SegmentationResult:
    """`mean_iou` and `mean_class_accuracy` are over the classes that the truth has; those it lacks are in `absent`. The
    IoU of a class that neither truth nor prediction has is NaN (null in JSON)."""

    pixel_accuracy: float
    mean_iou: float
    mean_class_accuracy: float
    pixels: int
    iou: dict[str, float]
    absent: list[str]

    def to_json(self) -> dict[str, Any]:
        return _plain(asdict(self))

    def table(self) -> str:
        wide = max(len(name) for name in self.iou)
        lines = [
            f"pixel accuracy {100 * self.pixel_accuracy:.2f}  mean IoU {100 * self.mean_iou:.2f}  "
            f"mean class accuracy {100 * self.mean_class_accuracy:.2f}  (percent; {self.pixels} pixels)"
        ]
        lines += [f"{name:<{wide}} {_percent(value)}" for name, value in self.iou.items()]
        return "\n".join(lines)
