"""BoxAnnotatorOHEM: image by image, greatest loss first."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def reference(most, ignore=-1):
    def f(bottoms, blobs):
        n, h, w = bottoms[0].shape[0], *(*bottoms[0].shape, 1, 1)[2:4]
        regions, losses, labels, weights = (x.reshape(n, -1, h * w) for x in bottoms)
        kept, boxes = np.full((n, 1, h * w), float(ignore)), np.zeros_like(weights)
        left = {image: most for image in regions[:, 0].ravel()}
        for _, i, s in sorted((-losses[i, 0, s], i, s) for i in range(n) for s in range(h * w)):
            if left[regions[i, 0, s]]:
                left[regions[i, 0, s]] -= 1
                kept[i, 0, s], boxes[i, :, s] = labels[i, 0, s], weights[i, :, s]
        return [kept.reshape(n, 1, h, w), boxes.reshape(n, -1, h, w)]

    return f


def bottoms(images, tail=(), channels=8):
    rng = np.random.default_rng(1)
    n = len(images)
    regions = rng.normal(size=(n, 5, *tail))
    regions[:, 0] = np.reshape(images, (n, *[1] * len(tail)))
    losses = rng.permutation(n * int(np.prod(tail))).reshape(n, 1, *tail).astype(float)
    return [regions, losses, rng.integers(0, 9, (n, 1, *tail)).astype(float), rng.normal(size=(n, channels, *tail))]


def case(name, given, most, options="", **settings):
    text = f'type: "BoxAnnotatorOHEM" box_annotator_ohem_param {{ roi_per_img: {most} {options} }}'
    return Case(name, text, given, reference(most, **settings), tops=2, gradient=False, onnx="for training",
                opencv="for training")  # fmt: skip


EQUAL = bottoms([0, 0, 0, 0])
EQUAL[1][:] = 1
LABELS_1D = bottoms([0, 1, 0, 1, 0])
LABELS_1D[1:3] = [x.reshape(-1) for x in LABELS_1D[1:3]]
CASES = [
    case("two images", bottoms([0, 0, 0, 1, 1, 1, 1]), 2),
    case("mixed", bottoms([2, 0, 2, 0, 0, 2, 5]), 2, "ignore_label: 255", ignore=255),
    case("all", bottoms([0, 1, 0]), 9),
    case("places", bottoms([0, 1], (2, 3)), 4),
    case("equal losses", EQUAL, 2),
    case("no axes for the labels", LABELS_1D, 1),
]
test_cases = run(CASES)

TYPE = 'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: 2 }'
test_refused = refusals([
    ('type: "BoxAnnotatorOHEM"', [(3, 5), (3, 1), (3, 1), (3, 8)], 2, "give roi_per_img"),
    (TYPE, [(3, 4), (3, 1), (3, 1), (3, 8)], 2, "want losses and labels"),
    (TYPE, [(3, 5), (3, 1), (2, 1), (3, 8)], 2, "want losses and labels"),
    (TYPE, [(3, 5), (3, 1), (3, 1), (4, 8)], 2, "box weights must be"),
])  # fmt: skip
