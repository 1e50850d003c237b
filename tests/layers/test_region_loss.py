"""RegionLoss: its deltas, box by box, from the definition."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.refusals import refusals
from tests.layers.runner import Case, feed, make, outputs, run
from tests.layers.yolo_truth import check_gradient, iou, labels, predictions, sigmoid

S, B, C = 4, 3, 2
BIASES = [1.0, 1.25, 2.0, 0.75, 0.5, 2.5]


def deltas(thresh=0.2, noobj=0.5, obj=1, cls=1, coord=5, rescore=1, match=1):
    def f(predicted, rows):
        n = len(predicted)
        x = predicted.reshape(n, B, 5 + C, S, S)
        delta = np.zeros_like(x)

        def box(i, b, y, column):
            one = x[i, b, :, y, column]
            return [(column + sigmoid(one[0])) / S, (y + sigmoid(one[1])) / S, np.exp(one[2]) * BIASES[2 * b] / S,
                    np.exp(one[3]) * BIASES[2 * b + 1] / S]  # fmt: skip

        for i, image in enumerate(rows.reshape(n, -1, 5)):
            true = [row for row in image if row[1] or row[3]]
            for b, y, column in np.ndindex(B, S, S):
                o = sigmoid(x[i, b, 4, y, column])
                if not any(iou(box(i, b, y, column), t[1:]) > thresh for t in true):
                    delta[i, b, 4, y, column] = noobj * o * o * (1 - o)
            for label, *t in true:
                column, y = int(t[0] * S), int(t[1] * S)
                sizes = [np.array(BIASES[2 * b : 2 * b + 2]) / S if match else box(i, b, y, column)[2:]
                         for b in range(B)]  # fmt: skip
                b = int(np.argmax([iou([0, 0, *size], [0, 0, *t[2:]]) for size in sizes]))
                one, at = x[i, b, :, y, column], delta[i, b, :, y, column]
                scale = coord if rescore else coord * (2 - t[2] * t[3])
                for k, (where, pixel) in enumerate(((t[0], column), (t[1], y))):
                    s = sigmoid(one[k])
                    at[k] = scale * (s - (where * S - pixel)) * s * (1 - s)
                    at[2 + k] = scale * (one[2 + k] - np.log(t[2 + k] * S / BIASES[2 * b + k]))
                o = sigmoid(one[4])
                at[4] = obj * (o - (iou(box(i, b, y, column), t) if rescore else 1)) * o * (1 - o)
                chances = np.exp(one[5:]) / np.exp(one[5:]).sum()
                at[5:] = cls * (chances - (np.arange(C) == label))
        return delta.reshape(predicted.shape)

    return f


ROWS = labels([
    [[1, 0.3, 0.4, 0.3, 0.25], [0, 0.8, 0.1, 0.2, 0.5], [0, 0.32, 0.45, 0.3, 0.28]],  # two for one box: the later stays
    [],
    [[0, 0.99, 0.0, 0.6, 0.9]],
])  # fmt: skip
X = predictions((3, B * (5 + C), S, S))
BASE = f"num: {B} num_class: {C} " + " ".join(f"biases: {b}" for b in BIASES)


def case(name, options="", rows=ROWS, **settings):
    f = deltas(**settings)
    one = Case(name, f'type: "RegionLoss" region_loss_param {{ {BASE} {options} }}', [X, rows],
               lambda bottoms, blobs: [(f(*bottoms) ** 2).sum() / 3], gradient=False, onnx="a loss",
               opencv="a loss")  # fmt: skip
    return one, f


TABLE = [
    case("default"),
    case("as MobileNet-YOLO has it", "object_scale: 5 noobject_scale: 1 class_scale: 1.5 coord_scale: 1 thresh: 0.6",
         obj=5, noobj=1, cls=1.5, coord=1, thresh=0.6),
    case("no rescore", "rescore: 0", rescore=0),
    case("matched by the predictions", "bias_match: 0", match=0),
    case("no true box", rows=np.zeros((3, 1, 6, 5))),
]  # fmt: skip
CASES = [one for one, _ in TABLE]
test_cases = run(CASES)


@pytest.mark.parametrize(("one", "wanted"), TABLE, ids=[one.name for one in CASES])
def test_gradient(one, wanted):
    check_gradient(one, lambda *bottoms: wanted(*bottoms) / 3)


@pytest.mark.parametrize(("row", "words"), [([2, 0.5, 0.5, 0.1, 0.1], "of class 2"), ([0, 1, 0.5, 0.1, 0.1], "inside"),
                                            ([-1, 0.5, 0.5, 0.1, 0.1], "of class -1")])  # fmt: skip
def test_no_class_or_place(row, words):
    one = case("wrong", rows=labels([[row], [], []]))[0]
    with pytest.raises(LayerError, match=words):
        outputs(make(one), feed(one, torch.float32))


P = (2, B * (5 + C), S, S)
test_refused = refusals([
    (f'type: "RegionLoss" region_loss_param {{ {options} }}', shapes, 1, words) for options, shapes, words in [
        (f"num: 3 num_class: {C}", [P, (2, 5)], "want 6 biases"),
        (f"{BASE} softmax_tree: \"tree\"", [P, (2, 5)], "softmax_tree"),
        (BASE, [(2, 8, S, S), (2, 5)], r"\(N, 3 \* 7"),
        (BASE, [(*P[:3], S + 1), (2, 5)], "must be square"),
        (BASE, [P, (2, 7)], "labels must be"),
        (BASE, [P, (3, 5)], "labels must be"),
    ]
])  # fmt: skip
