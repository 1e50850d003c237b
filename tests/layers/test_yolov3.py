"""Yolov3: its deltas, box by box, from the definition; the measures' slopes against differences of the measures."""

import math

import numpy as np
import pytest

from caffe_port.layers import box_slopes
from caffe_port.layers.box_slopes import CIOU, DIOU, GIOU, IOU, measure, slopes
from tests.layers.refusals import refusals
from tests.layers.runner import Case, run
from tests.layers.yolo_truth import check_gradient, iou, labels, predictions, sigmoid

H, W, B, C, SCALE = 3, 4, 2, 3, 8
BIASES = [10.0, 12.0, 16.0, 6.0, 4.0, 20.0, 24.0, 20.0]


def deltas(thresh=0.2, cls=1, coord=5, obj=1, logic=False, focal=False, smooth=0.125, iou_thresh=0.5, mask=(1, 3),
           kind=None, normalizer=0.25, most=10.0, accumulate=True):  # fmt: skip
    """(deltas that make the loss, deltas that make the gradient, 1 - measure of each match)"""

    def like(a, b):
        return iou(a, b) if kind in (None, IOU) else measure(a, b, kind)

    def f(predicted, rows):
        n = len(predicted)
        x = predicted.reshape(n, B, 5 + C, H, W)
        s, delta, missed = sigmoid(x), np.zeros_like(x), []
        sizes = [(BIASES[2 * k] / (W * SCALE), BIASES[2 * k + 1] / (H * SCALE)) for k in range(4)]

        def box(i, b, y, column):
            one = x[i, b, :, y, column]
            w, h = sizes[mask[b]]
            return [(column + sigmoid(one[0])) / W, (y + sigmoid(one[1])) / H, np.exp(one[2]) * w, np.exp(one[3]) * h]

        for i, image in enumerate(rows.reshape(n, -1, 5)):
            true = [row for row in image if row[3]]
            for b, y, column in np.ndindex(B, H, W):
                if not any(like(box(i, b, y, column), t[1:]) > thresh for t in true):
                    delta[i, b, 4, y, column] = s[i, b, 4, y, column]
            for label, *t in true:
                label, column, y = int(label), int(t[0] * W), int(t[1] * H)
                fits = [like([0, 0, *size], [0, 0, *t[2:]]) for size in sizes]
                best = int(np.argmax(fits))
                chosen = [best] if best in mask else []
                done = mask.index(best) if chosen else best
                chosen += [k for k in range(4) if k in mask and k != done and fits[k] > iou_thresh]
                for pair in chosen:
                    b = mask.index(pair)
                    one, at, p = x[i, b, :, y, column], delta[i, b, :, y, column], s[i, b, :, y, column]
                    mine = box(i, b, y, column)
                    if kind is None:
                        k = coord * (2 - t[2] * t[3])
                        at[:2] = k * (p[:2] - [t[0] * W - column, t[1] * H - y])
                        at[2:4] = k * (one[2:4] - np.log(np.divide(t[2:], sizes[pair])))
                    else:
                        move = np.array(slopes(mine, t, kind)) * [1, 1, np.exp(one[2]), np.exp(one[3])] * normalizer
                        at[:4] = (at[:4] if accumulate else 0) - move.clip(-most, most)
                        missed.append(1 - measure(mine, t, kind if kind in (GIOU, CIOU) else DIOU))
                    at[4] = (p[4] - 1) * (obj if logic else 1)
                    wanted = (np.arange(C) == label) * (1 - smooth) + smooth / 2
                    if at[5 + label]:
                        at[5 + label] = cls * (p[5 + label] - 1 + smooth / 2)
                    elif focal:
                        q = p[5 + label]
                        at[5:] = cls * (p[5:] - (np.arange(C) == label)) * 0.5 * -(1 - q) * (2 * q * np.log(q) + q - 1)
                    else:
                        at[5:] = cls * (p[5:] - wanted)
        gradient = delta.copy()
        if logic:
            keep = np.r_[0, 1, 4 : 5 + C]
            gradient[:, :, keep] *= (s * (1 - s))[:, :, keep]
        return delta, gradient.reshape(predicted.shape), missed

    return f


ROWS = labels([
    [[1, 0.3, 0.4, 0.55, 0.28], [0, 0.8, 0.1, 0.7, 0.8], [2, 0.32, 0.45, 0.5, 0.27], [0, 0.6, 0.6, 0.12, 0.8]],
    [],
    [[2, 0.99, 0.0, 0.5, 0.9], [1, 0.5, 0.9, 0.31, 0.5]],
])  # fmt: skip
X = predictions((3, B * (5 + C), H, W))
BASE = f"num: {B} num_class: {C} anchors_scale: {SCALE} label_smooth_eps: 0.125 " \
       + " ".join(f"biases: {b}" for b in BIASES)  # fmt: skip


def case(name, options="", rows=ROWS, **settings):
    f = deltas(**settings)
    kind, normalizer = settings.get("kind"), settings.get("normalizer", 0.25)

    def loss(bottoms, blobs):
        delta, _, missed = f(*bottoms)
        if kind is None:
            return [(delta**2).sum() / 3]
        return [((delta[:, :, 4:] ** 2).sum() + normalizer * sum(missed) / max(1, len(missed))) / 3]

    mask = "".join(f" mask: {k}" for k in settings.get("mask", (1, 3)))
    text = f'type: "Yolov3" yolov3_param {{ {BASE} {mask} {options} }}'
    return Case(name, text, [X, rows], loss, gradient=False, onnx="a loss", opencv="a loss"), f


TABLE = [
    case("default"),
    case("as MobileNet-YOLO has it", "object_scale: 5 noobject_scale: 1 class_scale: 1.5 coord_scale: 1 thresh: 0.5",
         cls=1.5, coord=1, thresh=0.5),
    case("logistic", "use_logic_gradient: true object_scale: 3", logic=True, obj=3),
    case("focal", "use_focal_loss: true", focal=True),
    case("only the best", "iou_thresh: 1", iou_thresh=1),
    case("all that are like it", "iou_thresh: 0.25", iou_thresh=0.25),
    case("another mask", "iou_thresh: 0.25", mask=(1, 2), iou_thresh=0.25),
    case("no true box", rows=np.zeros((3, 1, 6, 5))),
    *(case(name, f"iou_loss: {name} {options}", kind=kind, **more) for name, kind, options, more in [
        ("GIOU", GIOU, "", {}), ("IOU", IOU, "", {}), ("DIOU", DIOU, "", {}), ("CIOU", CIOU, "", {}),
        ("GIOU", GIOU, "accumulate: false iou_normalizer: 0.5 iou_thresh: 0.25",
         {"accumulate": False, "normalizer": 0.5, "iou_thresh": 0.25}),
        ("CIOU", CIOU, "max_delta: 0.125", {"most": 0.125})]),
]  # fmt: skip
CASES = [one for one, _ in TABLE]
test_cases = run(CASES)


@pytest.mark.parametrize(("one", "wanted"), TABLE, ids=[f"{one.name}-{i}" for i, one in enumerate(CASES)])
def test_gradient(one, wanted):
    check_gradient(one, lambda *bottoms: wanted(*bottoms)[1] / 3)


PAIRS = [
    ([0.5, 0.5, 0.4, 0.2], [0.45, 0.56, 0.32, 0.42]), ([0.5, 0.5, 0.4, 0.3], [0.7, 0.6, 0.35, 0.4]),
    ([0.5, 0.5, 0.1, 0.1], [0.52, 0.47, 0.4, 0.5]), ([0.2, 0.5, 0.1, 0.3], [0.7, 0.4, 0.2, 0.2]),
    ([0.2, 0.1, 0.1, 0.1], [0.7, 0.8, 0.2, 0.3]),
]  # fmt: skip


def derivative(f, a):
    step = 1e-6
    return np.array([(f(np.add(a, e)) - f(np.subtract(a, e))) / (2 * step) for e in np.eye(4) * step])


@pytest.mark.parametrize("kind", [IOU, GIOU, DIOU, CIOU])
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_slopes(a, b, kind):
    """Differences of the terms, as far as Darknet's are derivatives (box_slopes.py says where they are not)."""

    def around(box):
        w, h = (max(box[k] + box[k + 2] / 2, b[k] + b[k + 2] / 2) - min(box[k] - box[k + 2] / 2, b[k] - b[k + 2] / 2)
                for k in (0, 1))  # fmt: skip
        return w, h

    def both(box):
        w, h = (min(box[k] + box[k + 2] / 2, b[k] + b[k + 2] / 2) - max(box[k] - box[k + 2] / 2, b[k] - b[k + 2] / 2)
                for k in (0, 1))  # fmt: skip
        return w, h

    def union(box):
        return box[2] * box[3] + b[2] * b[3] - math.prod(both(box))

    twice = np.array([1, 1, 2, 2])
    overlapping = min(both(a)) > 0
    first = derivative(lambda box: math.prod(both(box)) / union(box), a) * twice * (union(a) > 0)
    if kind == IOU:
        want = first
    elif kind == GIOU:
        further = derivative(lambda box: union(box) / math.prod(around(box)), a) * twice
        want = first + further if overlapping else further
    else:
        apart = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2

        def distance(box):
            return -((box[0] - b[0]) ** 2 + (box[1] - b[1]) ** 2) / (around(box)[0] ** 2 + around(box)[1] ** 2)

        further = derivative(distance, a)
        # The centre's part of the diagonal's growth has the other sign.
        growth = derivative(lambda box: around(box)[0] ** 2 + around(box)[1] ** 2, a)
        further[:2] -= 2 * apart * growth[:2] / sum(v * v for v in around(a)) ** 2
        if kind == CIOU:
            turn = 8 / np.pi**2 * (np.arctan(b[2] / b[3]) - np.arctan(a[2] / a[3]))
            v = 4 / np.pi**2 * (np.arctan(b[2] / b[3]) - np.arctan(a[2] / a[3])) ** 2
            alpha = v / (1 - math.prod(both(a)) / union(a) + v + 1e-6)
            further[2:] += alpha * turn * np.array([a[3], -a[2]])
        want = first + further if overlapping else further
    np.testing.assert_allclose(slopes(a, b, kind), want, rtol=1e-6, atol=1e-8)


def test_measures_of_one_box_are_1():
    for kind in (IOU, GIOU, DIOU, CIOU, box_slopes.MSE):
        assert measure([0.4, 0.5, 0.2, 0.1], [0.4, 0.5, 0.2, 0.1], kind) == pytest.approx(1)
    far = [0.4, 0.5, 0.2, 0.1], [0.9, 0.9, 0.1, 0.1]
    assert measure(*far, IOU) == 0 > measure(*far, DIOU) and -1 < measure(*far, GIOU) < 0


P = (2, B * (5 + C), H, W)
MASK = " mask: 1 mask: 3"
test_refused = refusals([
    (f'type: "Yolov3" yolov3_param {{ {options} }}', shapes, 1, words) for options, shapes, words in [
        (BASE, [P, (2, 5)], "2 boxes want as many mask"),
        (BASE + " mask: 1 mask: 4", [P, (2, 5)], "a pair of 8 biases"),
        (BASE + MASK, [(2, 8, H, W), (2, 5)], r"\(N, 2 \* 8"),
        (BASE + MASK, [P, (2, 7)], "labels must be"),
        (f"num: {B} num_class: 0 {MASK}", [P, (2, 5)], "must be positive"),
    ]
])  # fmt: skip
