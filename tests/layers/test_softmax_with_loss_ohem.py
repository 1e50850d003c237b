"""SoftmaxWithLossOHEM: the loss of every region; the rest is SoftmaxWithLoss's."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

LABELS = np.array([[[2, 0, 1]], [[1, 1, 2]]], float)
WIDE = np.zeros((1, 3))
WIDE[0, 0] = 200  # the others' chances are below the least that counts


def reference(tops, ignore=None):
    def f(bottoms, blobs):
        scores, labels = bottoms
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        each = np.zeros(labels.size)
        flat = p.reshape(*p.shape[:2], -1)
        for i, value in enumerate(labels.ravel().astype(int)):
            if value != ignore:
                n, s = divmod(i, flat.shape[2])
                each[i] = -np.log(max(flat[n, value, s], 2.0**-126))
        count = labels.size - (labels == ignore).sum()
        return [each.sum() / max(count, 1), p, each.reshape(labels.shape)][:tops]

    return f


def case(name, bottoms, tops=3, options="", ignore=None, **more):
    weights = " ".join(["loss_weight: 1"] + ["loss_weight: 0"] * (tops - 1))
    return Case(name, f'type: "SoftmaxWithLossOHEM" {weights} {options}', bottoms, reference(tops, ignore), tops=tops,
                onnx="a loss", opencv="a loss", **{"gradient": tops < 2, **more})  # fmt: skip


CASES = [
    case("each", [(2, 3, 1, 3), LABELS]),
    case("ignored", [(2, 3, 1, 3), LABELS], options="loss_param { ignore_label: 1 }", ignore=1),
    case("only the loss", [(2, 3, 1, 3), LABELS], tops=1),
    case("and the chances", [(4, 3), np.array([0.0, 2, 1, 1])], tops=2),
    case("far below", [WIDE, np.array([2.0])]),
]
test_cases = run(CASES)
WEIGHTED = 'type: "SoftmaxWithLossOHEM" loss_param { weight_by_label_freqs: true ' + "class_weighting: 2 " * 3 + "}"
test_refused = refusals([(WEIGHTED, [(2, 3, 1, 3), LABELS], 3, "weight_by_label_freqs, .*this layer does not")])
