"""Yolov3DetectionOutput: maps with their own masks and scales, uncertain boxes, every likely class."""

import numpy as np

from tests.layers.detection import greedy, run_free
from tests.layers.refusals import refusals
from tests.layers.runner import Case, inputs, run

BIASES = (10, 14, 23, 27, 37, 58, 81, 82)
MASKS = ((2, 3), (1, 0))
STRIDES = (32, 16)
C, B = 3, 2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(threshold=0.01, nms=0.45, gaussian=False):
    step, length = (2, 8) if gaussian else (1, 4)

    def tops(bottoms, blobs):
        rows = []
        for n in range(len(bottoms[0])):
            found = []
            for t, x in enumerate(bottoms):
                h, w = x.shape[2:]
                for j, i, b in np.ndindex(h, w, B):
                    v = x[n, b * (length + 1 + C) : (b + 1) * (length + 1 + C), j, i]
                    own = BIASES[2 * MASKS[t][b] : 2 * MASKS[t][b] + 2]
                    cx, cy = (i + sigmoid(v[0])) / w, (j + sigmoid(v[step])) / h
                    wide = np.exp(v[2 * step]) * own[0] / (w * STRIDES[t])
                    high = np.exp(v[3 * step]) * own[1] / (h * STRIDES[t])
                    sure = sigmoid(v[length]) * ((4 - sigmoid(v[1:8:2]).sum()) / 4 if gaussian else 1)
                    found += [(n, c + 1, score, cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2)
                              for c, score in enumerate(sigmoid(v[length + 1 :]) * sure) if score > threshold]
            order = sorted(range(len(found)), key=lambda k: -found[k][2])
            rows += [found[k] for k in greedy([f[3:] for f in found], order, nms, inclusive=True)]
        return [np.array(rows or [(n, *[-1] * 6) for n in range(len(bottoms[0]))], float)[None, None]]

    return tops


def shapes(length=4, images=2):
    return [(images, B * (length + 1 + C), 2, 3), (images, B * (length + 1 + C), 4, 6)]


MASK = " ".join(f"mask: {m}" for mask in MASKS for m in mask)
SCALE = " ".join(f"anchors_scale: {s}" for s in STRIDES)
GIVEN = f"num_classes: 3 num_box: 2 {MASK} {SCALE} " + " ".join(f"biases: {b}" for b in BIASES)


def case(name, options, found, bottoms=None):
    return Case(name, f'type: "Yolov3DetectionOutput" yolov3_detection_output_param {{ {GIVEN} {options} }}',
                bottoms or shapes(), found, opencv="it has no such layer")


FREE = [
    case("defaults", "", reference()),
    case("likely ones", "confidence_threshold: 0.4 nms_threshold: 0.2", reference(0.4, 0.2)),
    case("uncertain boxes", "gaussian_box: true confidence_threshold: 0.2", reference(0.2, gaussian=True), shapes(8)),
    case("nothing found", "confidence_threshold: 1.5", reference(1.5)),
]
test_free = run_free(FREE)
CASES = [case("none in one image", "confidence_threshold: 1.5", reference(1.5), shapes(images=1))]
test_cases = run(CASES, onnx_in="boxes are suppressed by forks' layers only, DetectionOutput and Proposal")


def test_the_cases_suppress_something():
    found = {c.name: c.reference(inputs(c), [])[0].shape[2] for c in FREE}
    assert all(4 < found[c.name] < 2 * B * 30 * C for c in FREE[:3]), found


test_refused = refusals([
    (f'type: "Yolov3DetectionOutput" yolov3_detection_output_param {{ {options} }}', bottoms, 1, words)
    for options, bottoms, words in [
        (GIVEN.replace("num_classes: 3", ""), shapes(), "give num_classes"),
        (GIVEN, shapes()[:1], "mask_group_num is 2, there are 1 bottoms"),
        (GIVEN + " mask: 1", shapes(), "2 maps of 2 boxes want 4 mask, not 5"),
        (GIVEN.replace("mask: 3", "mask: 4"), shapes(), "mask 4 names a pair"),
        (GIVEN.replace("anchors_scale: 16", ""), shapes(), "want as many anchors_scale, not 1"),
        (GIVEN + " gaussian_box: true", shapes(), r"must be \(N, 24, height, width\)"),
    ]
])
