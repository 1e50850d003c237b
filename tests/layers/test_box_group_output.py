"""BoxGroupOutput: several fields a map, boxes that count whole pixels, suppression by three overlaps, no box."""

import numpy as np
import pytest

from tests.layers.detection import run_free
from tests.layers.refusals import refusals
from tests.layers.runner import Case, inputs, make, run
from tests.layers.test_box_output import REG, decoded, rows_of
from tests.layers.test_box_output import row as case_of

GROUPS = [([(12, 20), (16, 9)], 4), ([(30, 18)], 8)]  # fields (wide, high), the distance of places
RNG = np.random.default_rng(4)
GROUPED = [
    RNG.random((4, 2, 5, 6)), RNG.normal(size=(4, 4, 5, 6)), RNG.random((2, 2, 3, 4)), RNG.normal(size=(2, 4, 3, 4)),
]  # fmt: skip
TOUCHING = [([(9, 9)], 8)]  # of two neighbours the last column, or row, of one is the first of the other
STILL = [RNG.random((2, 2, 3, 4)), np.zeros((2, 4, 3, 4))]


def of_groups(fg=0.3, least=5, reg=False, tops=2, given=GROUPS, **how):
    def compute(bottoms, blobs):
        images = [[], []]
        for scores, offsets, (fields, stride) in zip(bottoms[::2], bottoms[1::2], given, strict=True):
            for n, row, column in np.ndindex(len(scores), *scores.shape[2:]):
                score, field = 1 - scores[n, 0, row, column], fields[n % len(fields)]
                x, y, w, h = decoded(offsets[n, :, row, column], field, column, row, stride, reg=reg)
                right, bottom = min(x + w - 1, scores.shape[3] * stride), min(y + h - 1, scores.shape[2] * stride)
                x, y = max(x, 0), max(y, 0)
                if score >= fg and right - x + 1 >= least and bottom - y + 1 >= least:
                    images[n // len(fields)].append((score, [x, y, right, bottom]))
        return rows_of(images, 1, **how)[:tops]

    return compute


def groups(fg=0.3, least=5, reg="", more="", given=GROUPS):
    text = " ".join(
        "box_group_param { " + " ".join(f"field_w: {w} field_h: {h}" for w, h in fields) + f" stride: {stride} }}"
        for fields, stride in given
    )
    return f'type: "BoxGroupOutput" {reg} box_group_output_param {{ {text} fg_thr: {fg} min_size: {least} {more} }}'


FREE = [
    case_of("plain", groups(), of_groups(), GROUPED),
    case_of("normalised", groups(reg=REG), of_groups(reg=True), GROUPED),
    case_of("few", groups(more="max_nms_num: 12 max_post_nms_num: 4"), of_groups(before=12, after=4), GROUPED),
    case_of("no box", groups(fg=1.5), of_groups(fg=1.5), GROUPED),
    *(case_of(f"{kind}", groups(more=f'nms_type: "{kind}" iou_thr: 0.4'), of_groups(kind=kind, thr=0.4), GROUPED)
      for kind in ("IOMU", "IOFU")),
    case_of("columns touch", groups(more="iou_thr: 0.01", given=TOUCHING), of_groups(thr=0.01, given=TOUCHING), STILL),
]
test_free = run_free(FREE)
CASES = [
    case_of("one box each", groups(more="max_post_nms_num: 1"), of_groups(after=1), GROUPED),
    case_of("one box each, one top", groups(more="max_post_nms_num: 1"), of_groups(after=1, tops=1), GROUPED, 1),
]
test_cases = run(CASES, onnx_in="no stock layer runs until something holds")


def test_the_cases_suppress_something():
    found = {case.name: len(case.reference(inputs(case), [])[0]) for case in FREE if "no box" not in case.name}
    assert all(5 < n < 144 for n in found.values()), found


@pytest.mark.parametrize(("more", "rows"), [("", 2 * 72), ("max_post_nms_num: 9", 18)])
def test_the_most_rows_there_can_be(more, rows):
    net = make(Case("l", groups(more=more), GROUPED, tops=2))
    assert [v.shape for v in net.graph.nodes[-1].tops] == [(rows, 5, 1, 1), (rows, 6, 1, 1)]


test_refused = refusals([
    (groups(), GROUPED[:2], 1, "want two bottoms each"),
    (groups(), [(4, 2, 5, 6), (4, 4, 5, 6), (3, 2, 3, 4), (3, 4, 3, 4)], 1, "number of images times"),
    (groups(), [(4, 2, 5, 6), (4, 3, 5, 6), (2, 2, 3, 4), (2, 4, 3, 4)], 1, "wants"),
    (groups(more="box_group_param { field_w: 1 }"), [*GROUPED, *GROUPED[:2]], 1, "as many field_h as field_w"),
])
