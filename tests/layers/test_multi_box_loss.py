"""MultiBoxLoss: matching, mining, both losses of each kind, codes of boxes and divisors, from the definition."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.detection import gradients, greedy, grid_priors, iou
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"
H, W, C, N = 3, 4, 3, 3
P = H * W
PRIORS = grid_priors(H, W, size=0.42)
TRUTH = np.array([  # image, class, instance, corners, difficult; the second image has none
    [0, 1, 0, 0.05, 0.02, 0.40, 0.30, 0], [0, 2, 0, 0.30, 0.25, 0.80, 0.70, 0], [0, 1, 1, 0.02, 0.05, 0.45, 0.33, 1],
    [2, 2, 0, 0.55, 0.60, 1.00, 0.95, 0], [2, 1, 0, 0.10, 0.10, 0.12, 0.12, 0], [-1, 0, 0, 0, 0, 0, 0, 0],
])[None, None]


def encoded(code, box, prior, v):
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CENTER_SIZE":
        raw = [(box[0] + box[2] - prior[0] - prior[2]) / 2 / w, (box[1] + box[3] - prior[1] - prior[3]) / 2 / h,
               np.log((box[2] - box[0]) / w), np.log((box[3] - box[1]) / h)]
    else:
        raw = [(box[i] - prior[i]) / ((w, h)[i % 2] if code == "CORNER_SIZE" else 1) for i in range(4)]
    return np.array(raw) / v


def decoded(code, offset, prior, v):
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    offset = offset * v
    if code != "CENTER_SIZE":
        return np.array([prior[i] + offset[i] * ((w, h)[i % 2] if code == "CORNER_SIZE" else 1) for i in range(4)])
    x, y = (prior[0] + prior[2]) / 2 + offset[0] * w, (prior[1] + prior[3]) / 2 + offset[1] * h
    w, h = w * np.exp(offset[2]), h * np.exp(offset[3])
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def matched(boxes, truth, threshold, per_prediction, ignore_crossing):
    """For each box the index of its true box (-1: none, -2: ignored), and its overlap."""
    index, best = [-1] * len(boxes), [0.0] * len(boxes)
    if not truth:
        return index, best
    overlap = [[iou(b, t) for t in truth] for b in boxes]
    for i, b in enumerate(boxes):
        if ignore_crossing and any(v < 0 or v > 1 for v in b):
            index[i], overlap[i] = -2, [0] * len(truth)
        best[i] = max(overlap[i])
    pool = set(range(len(truth)))
    while pool:
        free = [i for i in range(len(boxes)) if index[i] == -1]
        pairs = [(overlap[i][j], -i, -j) for i in free for j in pool if overlap[i][j] > 1e-6]
        if not pairs:
            break
        value, i, j = max(pairs)
        index[-i], best[-i] = -j, value
        pool.remove(-j)
    for i in range(len(boxes)):
        most = max(overlap[i])
        if per_prediction and index[i] == -1 and most > 1e-6 and most >= threshold:
            index[i], best[i] = overlap[i].index(most), most
    return index, best


def location_cost(kind, difference):
    x = abs(difference)
    return (x**2 / 2 if kind == "L2" else np.where(x < 1, x**2 / 2, x - 0.5)).sum()


def confidence_cost(kind, x, target):
    if kind == "SOFTMAX":
        return np.log(np.exp(x - x.max()).sum()) + x.max() - x[target.argmax()]
    return (np.log1p(np.exp(-abs(x))) + np.maximum(x, 0) - x * target).sum()


def reference(code="CORNER", share=True, in_target=False, loc="SMOOTH_L1", conf="SOFTMAX", weight=1.0,
              mining="MAX_NEGATIVE", ratio=3.0, neg_overlap=0.5, sample=64, per_prediction=True, threshold=0.5,
              use_prior=True, difficult=True,
              agnostic=False, crossing=False, inside=False, norm="VALID", nms=None, prior_nms=False, parts=(True, True),
              classes=C):
    def tops(bottoms, blobs):
        images = len(bottoms[0])
        locations = bottoms[0].reshape(images, P, 1 if share else classes, 4)
        scores = bottoms[1].reshape(images, P, classes)
        priors, variances = bottoms[2].reshape(2, P, 4)
        location = confidence = count = 0
        for n in range(images):
            true = [(int(r[1]) if not agnostic else 1, r[3:7]) for r in bottoms[3][0, 0]
                    if r[0] == n and (difficult or not r[7])]
            v = [np.ones(4) if in_target else variances[i] for i in range(P)]
            chosen = {}  # (slot, prior) -> true box
            overlaps, index = [0] * P, [-1] * P
            for slot in range(1 if share else classes):
                if not share and slot == 0:
                    continue
                guess = [decoded(code, locations[n, i, slot], priors[i], v[i]) for i in range(P)]
                allowed = [g for g in range(len(true)) if use_prior or share or true[g][0] == slot]
                index, overlaps = matched(priors if use_prior else guess, [true[g][1] for g in allowed], threshold,
                                          per_prediction, crossing)
                index = [allowed[g] if g >= 0 else g for g in index]
                for i, g in enumerate(index):
                    if g >= 0 and (share or true[g][0] == slot):
                        chosen[slot, i] = g

            def place(slot, i, chosen=chosen, true=true, v=v, n=n):
                goal = encoded(code, true[chosen[slot, i]][1], priors[i], v[i])
                difference = locations[n, i, slot] - goal
                if inside:
                    sides = priors[i] if use_prior else decoded(code, locations[n, i, slot], priors[i], v[i])
                    difference = np.where((sides < 0) | (sides > 1), 0, difference)
                return location_cost(loc, difference / (variances[i] if in_target else 1))

            def label(i, chosen=chosen, true=true):
                return max((true[g][0] for (_, j), g in chosen.items() if j == i), default=-1)

            def judge(i, n=n, label=label):
                target = np.zeros(classes)
                if label(i) >= 0 or conf == "SOFTMAX" or mining != "NONE":
                    target[max(label(i), 0)] = 1
                return confidence_cost(conf, scores[n, i], target)

            counted = set(range(P)) if mining == "NONE" else set()
            if mining != "NONE" and true:
                hard = mining == "HARD_EXAMPLE"
                rank = {i: judge(i) + (place(0, i) if hard and (0, i) in chosen else 0) for i in range(P)
                        if hard or (index[i] == -1 and overlaps[i] < neg_overlap)}
                order = sorted(rank, key=lambda i, rank=rank: -rank[i])
                if nms is not None:
                    guess = [decoded(code, locations[n, i, 0], priors[i], v[i]) for i in range(P)]
                    among = priors if prior_nms else guess
                    order = [i for i in order[:nms[1]] if iou(among[i], among[i]) > 0]
                    order = greedy(among, order, nms[0])
                picked = set(order[: sample if hard else int(len(chosen) * ratio)])
                if hard:
                    chosen = {key: g for key, g in chosen.items() if key[1] in picked}
                counted = {i for (_, i) in chosen} | {i for i in picked if index[i] != -2}
            location += sum(place(slot, i) for slot, i in chosen)
            confidence += sum(judge(i) for i in counted)
            count += len(chosen)
        divisor = max(1, {"VALID": count, "FULL": images * P, "BATCH_SIZE": images, "NONE": 1}[norm])
        return [np.array((weight * location * parts[0] + confidence * parts[1]) / divisor)]

    return tops


def case(name, options, share=True, classes=C, truth=TRUTH, spread=0.5, extra="", images=N, **more):
    rng = np.random.default_rng(4)
    locations = rng.normal(size=(images, P * (1 if share else classes) * 4)) * spread
    bottoms = [locations, rng.normal(size=(images, P * classes)), PRIORS, truth]
    settings = more.pop("ref", {})
    more.setdefault("gradient", False)  # element by element is slow here: see test_gradient
    return Case(name, f'type: "MultiBoxLoss" multibox_loss_param {{ num_classes: {classes} {options} }} {extra}',
                bottoms, reference(share=share, classes=classes, **settings), onnx=LOSS, opencv=LOSS, **more)


APART = "share_location: false mining_type: NONE"
CASES = [
    case("as SSD has it", "code_type: CENTER_SIZE neg_pos_ratio: 2", ref=dict(code="CENTER_SIZE", ratio=2)),
    case("corners", "", ref={}),
    case("corner sizes", "code_type: CORNER_SIZE", ref=dict(code="CORNER_SIZE")),
    *(case(f"{code}, variance in target", f"code_type: {code} encode_variance_in_target: true", spread=0.1,
           ref=dict(code=code, in_target=True)) for code in ("CORNER", "CENTER_SIZE", "CORNER_SIZE")),
    case("L2", "loc_loss_type: L2 loc_weight: 0.3", ref=dict(loc="L2", weight=0.3)),
    case("logistic", "conf_loss_type: LOGISTIC", ref=dict(conf="LOGISTIC")),
    case("no mining", "mining_type: NONE", ref=dict(mining="NONE")),
    case("logistic, no mining", "mining_type: NONE conf_loss_type: LOGISTIC", ref=dict(mining="NONE", conf="LOGISTIC")),
    case("hard examples", "mining_type: HARD_EXAMPLE sample_size: 5", ref=dict(mining="HARD_EXAMPLE", sample=5)),
    case("ratio and overlap", "neg_pos_ratio: 0.7 neg_overlap: 0.2", ref=dict(ratio=0.7, neg_overlap=0.2)),
    case("best pairs only", "match_type: BIPARTITE", ref=dict(per_prediction=False)),
    case("threshold", "overlap_threshold: 0.2", ref=dict(threshold=0.2)),
    case("predictions matched", "use_prior_for_matching: false overlap_threshold: 0.2",
         ref=dict(use_prior=False, threshold=0.2)),
    case("a box for each class", APART, share=False, ref=dict(mining="NONE")),
    case("predictions of each class matched", f"{APART} use_prior_for_matching: false overlap_threshold: 0.15",
         share=False, ref=dict(mining="NONE", use_prior=False, threshold=0.15)),
    case("no difficult ones", "use_difficult_gt: false", ref=dict(difficult=False)),
    case("objects of one kind", "map_object_to_agnostic: true", classes=2, ref=dict(agnostic=True)),
    case("across the border", "ignore_cross_boundary_bbox: true overlap_threshold: 0.1",
         ref=dict(crossing=True, threshold=0.1)),
    case("only inside", "bp_inside: true", ref=dict(inside=True)),
    case("only inside, of predictions", "bp_inside: true use_prior_for_matching: false overlap_threshold: 0.2",
         ref=dict(inside=True, use_prior=False, threshold=0.2)),
    case("suppression of predictions", "nms_param { nms_threshold: 0.2 top_k: 7 }", ref=dict(nms=(0.2, 7))),
    case("suppression of priors", "nms_param { nms_threshold: 0.1 top_k: 9 } use_prior_for_nms: true",
         ref=dict(nms=(0.1, 9), prior_nms=True)),
    *(case(f"{norm}", "", extra=f"loss_param {{ normalization: {norm} }}", ref=dict(norm=norm))
      for norm in ("FULL", "BATCH_SIZE", "NONE")),
    case("normalize: false", "", extra="loss_param { normalize: false }", ref=dict(norm="BATCH_SIZE")),
    case("location only", "", extra="propagate_down: [true, false, false, false]",
         ref=dict(parts=(True, False))),
    case("one image", "", images=1, truth=TRUTH[:, :, :3], gradient=True, ref={}),
    case("no true box", "", truth=np.full((1, 1, 2, 8), -1.0), ref={}),
    case("no true box, no mining", "mining_type: NONE", truth=np.full((1, 1, 1, 8), -1.0), ref=dict(mining="NONE")),
]
test_cases = run(CASES)
test_gradient = gradients(CASES)


@pytest.mark.parametrize(("row", "words"), [
    ([0, 0, 0, 0, 0, 1, 1, 0], "a true box has class 0; classes are 0 to 2 without the background 0"),
    ([0, 3, 0, 0, 0, 1, 1, 0], "has class 3"),
    ([0, -2, 0, 0, 0, 1, 1, 0], "has class -2"),
    ([3, 1, 0, 0, 0, 1, 1, 0], "lies in image 3; there are 3"),
    ([-2, 1, 0, 0, 0, 1, 1, 0], "lies in image -2"),
])
def test_true_boxes_that_cannot_be(row, words):
    layer = make(case("l", "")).layer("l")
    with pytest.raises(LayerError, match=f"layer 'l'.*{words}"):
        layer(torch.zeros(N, P * 4), torch.zeros(N, P * C), torch.tensor(PRIORS), torch.tensor([[[row]]]).float())


SHAPES = [(2, 48), (2, 36), (1, 2, 48), (1, 1, 4, 8)]
test_refused = refusals([
    (f'type: "MultiBoxLoss" multibox_loss_param {{ {options} }}', shapes, 1, words) for options, shapes, words in [
        ("", SHAPES, "give num_classes"),
        ("num_classes: 3 background_label_id: 3", SHAPES, "not one of the 3 classes"),
        ("num_classes: 3 do_neg_mining: false", SHAPES, "contradicts mining_type"),
        ("num_classes: 3 share_location: false", [(2, 144), *SHAPES[1:]], "mining goes with share_location"),
        ("num_classes: 3 mining_type: HARD_EXAMPLE sample_size: 0", SHAPES, "sample_size must be positive"),
        ("num_classes: 3 map_object_to_agnostic: true", SHAPES, "two classes, not 3"),
        ("num_classes: 4", SHAPES, "scores .* do not fit 12 priors"),
        ("num_classes: 3", [(3, 48), *SHAPES[1:]], "differ in the first dimension"),
        ("num_classes: 3", [*SHAPES[:3], (1, 1, 4, 7)], "true boxes must be"),
        ("num_classes: 3", SHAPES[:3], "takes 4 to 4|takes 4 bottom"),
    ]
])
