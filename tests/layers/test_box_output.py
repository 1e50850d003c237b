"""BoxOutput: fields, offsets and their bounds, cutting, suppression by three overlaps, no box."""

import math

import numpy as np
import pytest

from tests.layers.detection import run_free
from tests.layers.refusals import refusals
from tests.layers.runner import Case, inputs, make, run

REG = "bbox_reg_param { " + "bbox_mean: 0.1 " * 4 + "bbox_std: 0.2 " * 2 + "bbox_std: 0.5 " * 2 + "}"
MAPS = [((12, 20), 4), ((30, 18), 8)]  # (wide, high), the distance of places
NOBODY, IN = "it has no such layer", "boxes are suppressed by forks' layers only"


def area(box, pixels):
    return (box[2] - box[0] + pixels) * (box[3] - box[1] + pixels)


def overlap(a, b, kind, pixels):
    x, y = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    if (x < 0 if pixels else x <= 0) or y <= 0:
        return 0
    both = (x + pixels) * (y + pixels)
    first, second = area(a, pixels), area(b, pixels)
    return both / {"IOU": first + second - both, "IOMU": min(first, second), "IOFU": first}[kind]


def decoded(moves, field, column, row, stride, whr=2, xyr=2, reg=False):
    """(x, y, width, height) with x and y the upper left corner."""
    if reg:
        moves = [m * s + 0.1 for m, s in zip(moves, (0.2, 0.2, 0.5, 0.5), strict=True)]
    x, y = (max(-1 / xyr, min(1 / xyr, v)) for v in moves[:2])
    w, h = (math.exp(max(-math.log(whr), min(math.log(whr), v))) * f for v, f in zip(moves[2:], field, strict=True))
    return (column + 0.5) * stride + x * field[0] - w / 2, (row + 0.5) * stride + y * field[1] - h / 2, w, h


def rows_of(images, pixels, kind="IOU", thr=0.5, before=0, after=0, last=False):
    """Each image's (score, box) sorted, suppressed, and in rows."""
    rows = []
    for image, found in enumerate(images):
        order = sorted(range(len(found)), key=lambda i: (-found[i][0], -i if last else i))
        kept = []
        for i in order[: before or None]:
            if all(overlap(found[k][1], found[i][1], kind, pixels) <= thr for k in kept):
                kept.append(i)
        rows += [[image, *found[i][1], found[i][0]] for i in kept[: after or None]]
    if not rows:
        return [np.array([0, 1, 1, 10, 10.0]).reshape(1, 5, 1, 1), np.zeros((1, 6, 1, 1))]
    made = np.array(rows)[..., None, None]
    return [made[:, :5], made]


def of_maps(fg=-1, least=5, reg=False, whr=2, xyr=2, tops=2, **how):
    def compute(bottoms, blobs):
        images = [[] for _ in bottoms[0]]
        for x, (field, stride) in zip(bottoms, MAPS, strict=True):
            for n, row, column in np.ndindex(len(x), *x.shape[2:]):
                score = x[n, 1:-4, row, column].max() - x[n, 0, row, column]
                left, top, w, h = decoded(x[n, -4:, row, column], field, column, row, stride, whr, xyr, reg)
                left, top = max(left, 0), max(top, 0)
                w, h = min(w, x.shape[3] * stride - left), min(h, x.shape[2] * stride - top)
                if score >= fg and w >= least and h >= least:
                    images[n].append((score, [left, top, left + w, top + h]))
        return rows_of(images, 0, last=True, **how)[:tops]

    return compute


def maps(fg=-1, least=5, reg="", more="", **how):
    fields = " ".join(f"field_w: {w} field_h: {h} downsample_rate: {s}" for (w, h), s in MAPS)
    return f'type: "BoxOutput" {reg} box_output_param {{ {fields} fg_thr: {fg} min_size: {least} {more} }}'


RNG = np.random.default_rng(4)
SHAPES = [(2, 7, 5, 6), (2, 7, 3, 4)]
TIES = [np.round(RNG.normal(size=shape) * 2) / 2 for shape in SHAPES]
NONE = [np.zeros(shape) for shape in SHAPES]
LAST = [np.stack([np.zeros(shape[1:]), RNG.normal(size=shape[1:])]) for shape in SHAPES]
FAR = [np.concatenate([RNG.normal(size=(2, 3, *s[2:])), RNG.normal(size=(2, 4, *s[2:])) * 3], 1) for s in SHAPES]


def row(name, layer, found, given, tops=2):
    return Case(name, layer, given, found, tops=tops, opencv=NOBODY)


FREE = [
    row("maps", maps(), of_maps(), SHAPES),
    row("maps, one top", maps(), of_maps(tops=1), SHAPES, 1),
    row("maps, normalised", maps(reg=REG), of_maps(reg=True), SHAPES),
    row("maps, bounds", maps(more="field_whr: 1.5 field_xyr: 4"), of_maps(whr=1.5, xyr=4), SHAPES),
    row("maps, small ones", maps(least=14), of_maps(least=14), SHAPES),
    row("maps, few", maps(more="max_nms_num: 12 max_post_nms_num: 5"), of_maps(before=12, after=5), SHAPES),
    row("maps, ties", maps(fg=0.5, more="iou_thr: 0.3"), of_maps(fg=0.5, thr=0.3), TIES),
    row("maps, no box", maps(fg=1), of_maps(fg=1), NONE),
    *(row(f"maps, {kind}", maps(more=f'nms_type: "{kind}" iou_thr: 0.4'), of_maps(kind=kind, thr=0.4), SHAPES)
      for kind in ("IOMU", "IOFU")),
    *(row(f"maps, {kind}, few, ties", maps(more=f'nms_type: "{kind}" iou_thr: 0.2 max_nms_num: 30 max_post_nms_num: 7'),
          of_maps(kind=kind, thr=0.2, before=30, after=7), TIES) for kind in ("IOU", "IOMU", "IOFU")),
    *(row(f"maps, {kind}, no overlap is too little", maps(more=f'nms_type: "{kind}" iou_thr: -0.5'),
          of_maps(kind=kind, thr=-0.5), SHAPES) for kind in ("IOU", "IOFU")),
    *(row(f"maps, {kind}, inverted boxes", maps(least=-30, more=f'nms_type: "{kind}" iou_thr: 0.1'),
          of_maps(kind=kind, thr=0.1, least=-30), FAR) for kind in ("IOU", "IOMU")),
    *(row(f"maps, {kind}, one image has none", maps(fg=0.5, more=f'nms_type: "{kind}"'), of_maps(fg=0.5, kind=kind),
          LAST) for kind in ("IOU", "IOMU")),
]
test_free = run_free(FREE)
ONE = [shape[1:] for shape in SHAPES]
CASES = [
    row("one box", maps(more="max_post_nms_num: 1"), of_maps(after=1), [RNG.normal(size=(1, *shape)) for shape in ONE]),
    row("no box", maps(fg=1, more="max_post_nms_num: 1"), of_maps(fg=1), [np.zeros((1, *shape)) for shape in ONE]),
]
test_cases = run(CASES, onnx_in=IN)


def test_the_cases_suppress_something():
    found = {case.name: len(case.reference(inputs(case), [])[0]) for case in FREE if "no " not in case.name}
    assert all(5 <= n < 84 for n in found.values()), found


@pytest.mark.parametrize(("layer", "given", "rows"), [
    (maps(), SHAPES, 2 * 42),
    (maps(more="max_nms_num: 7 max_post_nms_num: 9"), SHAPES, 14),
    (maps(more="max_post_nms_num: 9"), SHAPES, 18),
])
def test_the_most_rows_there_can_be(layer, given, rows):
    net = make(Case("l", layer, given, tops=2))
    assert [v.shape for v in net.graph.nodes[-1].tops] == [(rows, 5, 1, 1), (rows, 6, 1, 1)]


test_refused = refusals([
    (maps(), SHAPES[:1], 1, "once a bottom"),
    (maps(), [SHAPES[0], (2, 6, 3, 4)], 1, "alike in the first two axes"),
    (maps(more='nms_type: "SOFT"'), SHAPES, 1, "nms_type 'SOFT'"),
    (maps(more="field_xyr: 0"), SHAPES, 1, "field_xyr positive"),
    (maps(reg="bbox_reg_param { bbox_mean: 1 }"), SHAPES, 1, "4 times each"),
])
