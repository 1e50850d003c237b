"""Region: what becomes a probability, and the decoded form."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def activated(boxes, classes, coords=4, softmax=True):
    def f(bottoms, blobs):
        x = bottoms[0].copy()
        each = coords + 1 + classes
        for n, y, i, b in np.ndindex(x.shape[0], *x.shape[2:], boxes):
            one = x[n, b * each : (b + 1) * each, y, i]
            one[:2], one[coords] = sigmoid(one[:2]), sigmoid(one[coords])
            if softmax:
                chances = np.exp(one[coords + 1 :])
                one[coords + 1 :] = chances / chances.sum()
        return [x]

    return f


def decoded(boxes, classes, biases, thresh):
    def f(bottoms, blobs):
        x = activated(boxes, classes)(bottoms, blobs)[0][0].reshape(boxes, 5 + classes, *bottoms[0].shape[2:])
        h, w = x.shape[2:]
        found, scores = np.zeros((boxes, h, w, 4)), np.zeros((boxes, h, w, classes + 1))
        for b, y, i in np.ndindex(boxes, h, w):
            one = x[b, :, y, i]
            found[b, y, i] = [(i + one[0]) / w, (y + one[1]) / h, np.exp(one[2]) * biases[2 * b] / w,
                              np.exp(one[3]) * biases[2 * b + 1] / h]  # fmt: skip
            chances = one[4] * one[5:]
            chances = np.append(chances, chances.max())
            scores[b, y, i] = np.where(chances > thresh, chances, 0)
        return [found, scores]

    return f


NO_LAYER = "its layer of this name takes other axes"
BIASES = [1.5, 2, 0.7, 3, 4, 0.5]
OLD = " ".join(f"biases: {b}" for b in BIASES) + " num: 3 num_class: 4 side: 5"
CASES = [
    Case("plain", 'type: "Region" region_param { classes: 3 num: 2 coords: 4 anchors: "1,2, 3,4" }', [(2, 16, 3, 5)],
         activated(2, 3), gradient=False, opencv=NO_LAYER),
    Case("five coordinates", 'type: "Region" region_param { classes: 3 coords: 5 }', [(2, 9, 3, 5)],
         activated(1, 3, 5), gradient=False, opencv=NO_LAYER),
    Case("no softmax", 'type: "Region" region_param { classes: 3 num: 2 softmax: false }', [(1, 16, 2, 3)],
         activated(2, 3, softmax=False), gradient=False, opencv=NO_LAYER),
    Case("decoded", f'type: "Region" region_loss_param {{ {OLD} thresh: 0.15 }}', [(1, 27, 5, 5)],
         decoded(3, 4, BIASES, 0.15), tops=2, gradient=False, opencv=NO_LAYER),
]  # fmt: skip
test_cases = run(CASES)

test_refused = refusals([
    ('type: "Region" region_param { classes: 3 num: 2 }', [(2, 15, 3, 5)], 1, r"\(N, 2 \* 8"),
    ('type: "Region" region_param { classes: 3 coords: 3 }', [(2, 7, 3, 5)], 1, "coords at least 4"),
    ('type: "Region" region_param { classes: 3 }', [(2, 8, 3, 5)], 2, "one with region_param"),
    (f'type: "Region" region_loss_param {{ {OLD} }}', [(2, 27, 5, 5)], 2, "one image's map"),
    ('type: "Region" region_loss_param { num: 2 num_class: 4 }', [(1, 18, 5, 5)], 2, "want 4 biases"),
])  # fmt: skip
