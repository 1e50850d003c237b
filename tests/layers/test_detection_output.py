"""DetectionOutput: every code of boxes, suppression, the best of each class and image, and nothing found."""

import numpy as np
import torch

from tests.layers.detection import greedy, grid_priors, run_free
from tests.layers.refusals import refusals
from tests.layers.runner import Case, inputs, make, run

PRIORS = grid_priors(3, 4)
P, C, N = 12, 3, 2
LEAST = float(np.finfo(np.float32).min)


def predictions(share=True, spread=0.4, images=N, seed=1):
    """Locations and scores, the scores all different."""
    rng = np.random.default_rng(seed)
    locations = rng.normal(size=(images, P * (1 if share else C) * 4)) * spread
    scores = rng.permutation(images * P * C).reshape(images, P * C) / (images * P * C)
    return [locations.astype(np.float32).astype(float), scores, PRIORS]


def decoded(code, in_target, offset, prior, variance):
    v = [1, 1, 1, 1] if in_target else variance
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return [prior[i] + v[i] * offset[i] for i in range(4)]
    if code == "CORNER_SIZE":
        return [prior[i] + v[i] * offset[i] * (w, h)[i % 2] for i in range(4)]
    cx, cy = v[0] * offset[0] * w + (prior[0] + prior[2]) / 2, v[1] * offset[1] * h + (prior[1] + prior[3]) / 2
    w, h = np.exp(v[2] * offset[2]) * w, np.exp(v[3] * offset[3]) * h
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def reference(
    code="CORNER", share=True, in_target=False, threshold=LEAST, nms=0.3, top_k=-1, keep=-1, eta=1, background=0
):
    def tops(bottoms, blobs):
        priors, variances = bottoms[2].reshape(2, -1, 4)
        count = len(priors)
        images = len(bottoms[0])
        locations = bottoms[0].reshape(images, count, 1 if share else C, 4)
        scores = bottoms[1].reshape(images, count, C)
        rows = []
        for n in range(images):
            found = []
            for c in [c for c in range(C) if c != background]:
                boxes = [decoded(code, in_target, locations[n, i, 0 if share else c], priors[i], variances[i])
                         for i in range(count)]
                order = sorted((i for i in range(count) if scores[n, i, c] > threshold), key=lambda i: -scores[n, i, c])
                order = order[:top_k] if top_k >= 0 else order
                found += [(n, c, scores[n, i, c], *boxes[i]) for i in greedy(boxes, order, nms, eta)]
            if 0 <= keep < len(found):
                found = sorted(sorted(found, key=lambda row: -row[2])[:keep], key=lambda row: (row[1], -row[2]))
            rows += found
        return [np.array(rows or [(n, *[-1] * 6) for n in range(images)], float)[None, None]]

    return tops


def case(name, options, found, bottoms=None, **more):
    for needed_by_opencv in ("share_location: true", "background_label_id: 0", "keep_top_k: 100", "code_type: CORNER",
                             "nms_param { nms_threshold: 0.3 }"):
        if needed_by_opencv.split(":")[0].split(" ")[0] not in options:
            options += f" {needed_by_opencv}"
    return Case(name, f'type: "DetectionOutput" detection_output_param {{ num_classes: 3 {options} }}',
                bottoms or predictions(), found, **more)


NEEDS = "confidence_threshold: 0.0"
NO_LIMIT = "it wants keep_top_k and starts at a confidence of 0"
FREE = [
    case("corners", "keep_top_k: -1", reference(), opencv=NO_LIMIT),
    *(case(code + ", variance in target" * inside,
           f"code_type: {code} {NEEDS} variance_encoded_in_target: {str(inside).lower()}",
           reference(code, in_target=inside, threshold=0), predictions(spread=0.15 if inside else 0.8),
           opencv="no CORNER_SIZE there" if code == "CORNER_SIZE" else "it then wants no variances" if inside else True)
      for code in ("CORNER", "CENTER_SIZE", "CORNER_SIZE") for inside in (False, True)),
    case("inverted boxes", NEEDS, reference(threshold=0), predictions(spread=3.0),
         opencv="it takes inverted boxes for boxes"),
    case("a box for each class", f"code_type: CENTER_SIZE share_location: false {NEEDS}",
         reference("CENTER_SIZE", share=False, threshold=0), predictions(share=False)),
    case("confidence", "confidence_threshold: 0.6 nms_param { nms_threshold: 0.45 }",
         reference(threshold=0.6, nms=0.45)),
    case("top_k", "confidence_threshold: 0.1 nms_param { nms_threshold: 0.4 top_k: 5 }",
         reference(threshold=0.1, nms=0.4, top_k=5)),
    case("keep_top_k", "confidence_threshold: 0.1 keep_top_k: 4", reference(threshold=0.1, keep=4)),
    case("both, a box for each class",
         "share_location: false confidence_threshold: 0.1 nms_param { nms_threshold: 0.3 top_k: 6 } keep_top_k: 5",
         reference(share=False, threshold=0.1, top_k=6, keep=5), predictions(share=False)),
    case("the threshold shrinks", "confidence_threshold: 0.1 nms_param { nms_threshold: 0.95 eta: 0.7 }",
         reference(threshold=0.1, nms=0.95, eta=0.7), onnx="a threshold that shrinks has no ONNX form"),
    case("nothing shrinks from below a half", "confidence_threshold: 0.1 nms_param { nms_threshold: 0.4 eta: 0.7 }",
         reference(threshold=0.1, nms=0.4, eta=0.7)),
    case("no suppression", "confidence_threshold: 0.1 nms_param { nms_threshold: 1.5 }",
         reference(threshold=0.1, nms=1.5)),
    case("another background", "background_label_id: 1 confidence_threshold: 0.1",
         reference(threshold=0.1, background=1)),
    case("no background", "background_label_id: -1 confidence_threshold: 0.1", reference(threshold=0.1, background=-1),
         opencv="it refuses it"),
    case("nothing found", "confidence_threshold: 2", reference(threshold=2), opencv="it then answers with no row"),
    case("nothing kept", "keep_top_k: 0", reference(keep=0), opencv="it then answers with no row"),
    case("an image too", "confidence_threshold: 0.1", reference(threshold=0.1), [*predictions(), (N, 3, 5, 7)]),
]
test_free = run_free(FREE)
CASES = [
    case("one row", "confidence_threshold: 0.5 keep_top_k: 1", reference(threshold=0.5, keep=1), predictions(images=1)),
    case("none in one image", "confidence_threshold: 2", reference(threshold=2), predictions(images=1),
         opencv="it then answers with no row"),
]
test_cases = run(CASES, onnx_in="boxes are suppressed by forks' layers only, DetectionOutput and Proposal")


def test_the_cases_suppress_something():
    found = {c.name: len(c.reference(inputs(c), [])[0][0, 0]) for c in FREE}
    assert all(2 < found[c.name] < 2 * C * P - 4 for c in FREE if not c.name.startswith("nothing")), found


def test_equal_scores_come_in_the_order_of_the_priors_and_nan_is_no_detection():
    layer = make(case("l", "confidence_threshold: 0.1 nms_param { nms_threshold: 1 } keep_top_k: 3", None)).layer("l")
    locations, priors = torch.zeros(1, P * 4), torch.tensor(PRIORS, dtype=torch.float32)
    scores = torch.full((1, P, C), 0.5)
    scores[0, 1] = torch.nan
    rows = layer(locations, scores.flatten(1), priors)[0, 0]
    assert rows[:, 1].tolist() == [1, 1, 1]
    assert torch.equal(rows[:, 3:], priors[0, 0].view(P, 4)[[0, 2, 3]])


def test_an_empty_batch_has_no_rows():
    layer = make(case("l", "", None)).layer("l")
    assert layer(torch.zeros(0, P * 4), torch.zeros(0, P * C), torch.tensor(PRIORS)).shape == (1, 1, 0, 7)


def test_what_is_left_out_is_said(capsys):
    make(case("l", 'save_output_param { output_directory: "results" } visualize: true', None))
    assert "layer 'l' (DetectionOutput): save_output_param and visualize left out" in capsys.readouterr().err


SHAPES = [(2, 48), (2, 36), (1, 2, 48)]
test_refused = refusals([
    (f'type: "DetectionOutput" detection_output_param {{ {options} }}', shapes, 1, words)
    for options, shapes, words in [
        ("", SHAPES, "give num_classes"),
        ("num_classes: 3 nms_param { nms_threshold: -1 }", SHAPES, "nms_threshold must not be negative"),
        ("num_classes: 3 nms_param { eta: 0 }", SHAPES, "eta must be"),
        ("num_classes: 4", SHAPES, "scores .* do not fit 12 priors: 4 each"),
        ("num_classes: 3 share_location: false", SHAPES, "locations .* do not fit 12 priors: 12 each"),
        ("num_classes: 3", [(2, 48), (2, 36), (1, 48)], "priors must be"),
        ("num_classes: 3", [(2, 48), (3, 36), (1, 2, 48)], "differ in the first dimension"),
        ("num_classes: 3", [(2, 48), (2, 36)], "takes 3 to 4 bottom"),
    ]
])
