"""YoloDetectionOutput: boxes, scores, suppression over all classes, several maps and images, nothing found."""

import numpy as np
import torch

from tests.layers.detection import greedy, run_free
from tests.layers.refusals import refusals
from tests.layers.runner import Case, inputs, make, run

BIASES = (0.7, 0.9, 2.4, 1.6)
C, B = 3, 2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(threshold=0.01, nms=0.45):
    def tops(bottoms, blobs):
        rows = []
        for n in range(len(bottoms[0])):
            found = []
            for x in bottoms:
                h, w = x.shape[2:]
                for j, i, b in np.ndindex(h, w, B):
                    v = x[n, b * (5 + C) : (b + 1) * (5 + C), j, i]
                    cx, cy = (i + sigmoid(v[0])) / w, (j + sigmoid(v[1])) / h
                    wide, high = np.exp(v[2]) * BIASES[2 * b] / w, np.exp(v[3]) * BIASES[2 * b + 1] / h
                    chances = np.exp(v[5:]) / np.exp(v[5:]).sum()
                    score = sigmoid(v[4]) * chances.max()
                    if score >= threshold:
                        corners = cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2
                        found.append((n, chances.argmax() + 1, score, *corners))
            order = sorted(range(len(found)), key=lambda k: -found[k][2])
            rows += [found[k] for k in greedy([f[3:] for f in found], order, nms, inclusive=True)]
        return [np.array(rows or [(n, *[-1] * 6) for n in range(len(bottoms[0]))], float)[None, None]]

    return tops


MAP = (2, B * (5 + C), 4, 5)
GIVEN = "num_classes: 3 num_box: 2 " + " ".join(f"biases: {b}" for b in BIASES)


def case(name, options, found, bottoms=(MAP,)):
    return Case(name, f'type: "YoloDetectionOutput" yolo_detection_output_param {{ {GIVEN} {options} }}', list(bottoms),
                found, opencv="it has no such layer")


FREE = [
    case("defaults", "", reference()),
    case("likely ones", "confidence_threshold: 0.25 nms_threshold: 0.3", reference(0.25, 0.3)),
    case("two maps", "confidence_threshold: 0.2", reference(0.2), (MAP, (2, B * (5 + C), 2, 3))),
    case("no suppression", "nms_threshold: 1.5", reference(nms=1.5)),
    case("nothing found", "confidence_threshold: 1.5", reference(1.5)),
]
test_free = run_free(FREE)
CASES = [case("none in one image", "confidence_threshold: 1.5", reference(1.5), [(1, *MAP[1:])])]
test_cases = run(CASES, onnx_in="boxes are suppressed by forks' layers only, DetectionOutput and Proposal")


def test_the_cases_suppress_something():
    found = {c.name: c.reference(inputs(c), [])[0].shape[2] for c in FREE}
    assert all(4 < found[c.name] < 2 * B * 20 for c in FREE[:3]) and found["no suppression"] == 2 * B * 20, found


def test_boxes_without_end_drop_nothing():
    layer = make(CASES[0]).layer("l")
    layer.param.yolo_detection_output_param.confidence_threshold = 0
    x = torch.zeros(1, *MAP[1:])
    x[:, [2, 3, 10, 11]] = 200
    assert layer(x).shape[2] == B * MAP[2] * MAP[3]


test_refused = refusals([
    (f'type: "YoloDetectionOutput" yolo_detection_output_param {{ {options} }}', [MAP], 1, words)
    for options, words in [
        ("num_box: 2 biases: 1", "give num_classes"),
        ("num_classes: 3 num_box: 2 biases: 1 biases: 1", "want 4 biases, there are 2"),
        (GIVEN.replace("s: 3", "s: 4"), r"must be \(N, 18, height, width\)"),
    ]
])
