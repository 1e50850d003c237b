"""A test's detections, and their mean average precision: SSD's solver with `eval_type: "detection"`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from caffe_port import log
from caffe_port.errors import DataError

Label = int


class Detections:
    """What DetectionEvaluate says of every batch of a test, and the mean average precision of it all.

    An output has rows (-1, class, true boxes, -1, -1) and (image, class, score, right, wrong); one that is neither
    right nor wrong does not count. The mean is over all classes that such an output names; one without a true box or
    without a detection has 0. Source: `Solver::TestDetection` and `ComputeAP` of SSD (Liu et al., 2016), which print
    nothing, not even warnings, where there is no detection at all; here the mean is 0.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.batches = 0
        self.positives: dict[str, dict[Label, int]] = {}
        self.found: dict[str, dict[Label, list[np.ndarray]]] = {}

    def add(self, outputs: Mapping[str, Tensor]) -> None:
        """Add one batch. DataError for an output that no DetectionEvaluate made."""
        for name, output in outputs.items():
            if output.dim() == 0 or output.shape[-1] != 5:
                raise DataError(
                    f"test: output '{name}' is {tuple(output.shape)}; eval_type \"detection\" wants rows of 5 numbers, "
                    "as DetectionEvaluate makes them; silence other outputs"
                )
            positives = self.positives.setdefault(name, {})
            found = self.found.setdefault(name, defaultdict(list))
            rows = output.detach().float().cpu().numpy().reshape(-1, 5)
            for _, label, count, *_ in rows[rows[:, 0] == -1]:
                positives[int(label)] = positives.get(int(label), 0) + int(count)
            judged = rows[(rows[:, 0] != -1) & (rows[:, 3:].any(1))]
            for label in np.unique(judged[:, 1]):
                found[int(label)].append(judged[judged[:, 1] == label])
        self.batches += 1

    def precisions(self) -> dict[str, dict[Label, float]]:
        """The average precision of every class, output by output."""
        return {
            name: {label: self._precision(name, label, count) for label, count in sorted(positives.items())}
            for name, positives in self.positives.items()
        }

    def _precision(self, name: str, label: Label, positives: int) -> float:
        rows = self.found[name].get(label, [])
        if not rows or not positives:
            return 0.0
        joined = np.concatenate(rows)
        right = joined[np.argsort(-joined[:, 2], kind="stable"), 3].cumsum()
        if right[-1] > positives:
            of = f"class {label} has {right[-1]:g} right detections of {positives} true boxes"
            raise DataError(f"test: output '{name}': {of}")
        recall = right.astype(np.float32) / np.float32(positives)
        precision = right.astype(np.float32) / np.arange(1, len(right) + 1, dtype=np.float32)
        return float(AP_VERSIONS[self.version](recall, precision))

    def log(self, per_class: bool) -> None:
        """Log the mean over the classes of each output; before it its classes, if wanted, and a warning for each class
        of which no detection counts."""
        for i, (name, precisions) in enumerate(self.precisions().items()):
            for label, value in precisions.items():
                if label not in self.found[name]:
                    log.warn("solver.cpp:524", f"Missing true_pos for label: {label}")
                elif per_class:
                    log.info("solver.cpp:540", f"class{label}: {value:g}")
            mean = sum(precisions.values()) / max(1, len(precisions))
            log.info("solver.cpp:546", f"    Test net output #{i}: {name} = {mean:g}")


def eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """VOC 2007: the mean, over the recalls 0, 0.1, ... 1, of the best precision at that recall or above.

    In single precision, as Caffe has it, a recall of 7/10 is below 0.7.
    """
    points = [precision[recall.astype(np.float64) >= j / 10] for j in range(11)]
    return sum(float(at.max(initial=0)) for at in points) / 11


def max_integral(recall: np.ndarray, precision: np.ndarray) -> float:
    """VOC 2012: the area below the curve of the best precision at every recall or above."""
    return integral(recall, np.maximum.accumulate(precision[::-1])[::-1])


def integral(recall: np.ndarray, precision: np.ndarray) -> float:
    """The area below the curve, each step of the recall at the precision behind it."""
    return float(np.diff(recall, prepend=np.float32(0)) @ precision)


AP_VERSIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "11point": eleven_points, "MaxIntegral": max_integral, "Integral": integral,
}  # fmt: skip
