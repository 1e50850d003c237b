"""Accuracy: top_k, axes, ignored labels, accuracy a class; ties and NaN."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.loss_definitions import labels, rows
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

METRIC = "a metric: dropped by its role"
TIED = np.random.default_rng(8).integers(-2, 3, (20, 4)).astype(float)


def reference(top_k=1, axis=1, ignore=None, tops=1):
    def compute(bottoms, blobs):
        x, wanted = rows(bottoms[0], axis), bottoms[1].ravel().astype(int)
        hits, seen = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for scores, label in zip(x, wanted, strict=True):
            if label != ignore:
                others = np.delete(scores, label)
                hits[label] += (others >= scores[label]).sum() < top_k
                seen[label] += 1
        return [np.array(hits.sum() / max(1, seen.sum())), hits / np.maximum(1, seen)][:tops]

    return compute


def case(name, options, bottoms, ref, tops=1):
    return Case(name, f'type: "Accuracy" accuracy_param {{ {options} }}', bottoms, ref, tops=tops, gradient=False,
                onnx=METRIC, opencv=METRIC)


CASES = [
    case("default", "", [(20, 4), labels((20,), 4)], reference()),
    case("ties", "", [TIED, labels((20,), 4)], reference()),
    case("top 2 of ties", "top_k: 2", [TIED, labels((20,), 4)], reference(2)),
    case("top all", "top_k: 4", [TIED, labels((20,), 4)], reference(4)),
    case("a class each", "", [TIED, labels((20,), 3)], reference(tops=2), tops=2),
    case("pixels", "axis: -2 top_k: 2 ignore_label: 1", [(2, 3, 4, 5), labels((2, 3, 5), 4)], reference(2, 2, 1, 2),
         tops=2),
    case("ignore 255", "ignore_label: 255", [TIED, np.where(labels((20,), 2) > 0, 255, labels((20,), 4))],
         reference(ignore=255, tops=2), tops=2),
    case("all ignored", "ignore_label: 0", [TIED, np.zeros(20)], reference(ignore=0, tops=2), tops=2),
    case("empty batch", "", [(0, 4), np.zeros(0)], reference(tops=2), tops=2),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Accuracy" accuracy_param { top_k: 5 }', [(2, 4), (2,)], 1, "top_k 5 is more than the 4 classes"),
    ('type: "Accuracy"', [(2, 4, 3), (2,)], 1, "one label a prediction"),
    ('type: "Accuracy" accuracy_param { axis: 3 }', [(2, 4), (2,)], 1, "axis 3 is out of range"),
])


def test_nan_at_the_label_is_right_and_labels_out_of_range_are_errors():
    layer = make(Case("l", 'type: "Accuracy"', [(2, 3), (2,)])).layer("l")
    x = torch.tensor([[float("nan"), 1.0, 2.0], [0.0, float("nan"), -1.0]])
    assert layer(x, torch.zeros(2))[0] == 1
    with pytest.raises(LayerError, match=r"label 3 at \(1,\)"):
        layer(x, torch.tensor([0.0, 3.0]))
