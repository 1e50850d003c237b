"""DetectionEvaluate: right, wrong, and what is neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, feed, make, outputs, run

TRUE = np.array([
    # image, class, instance, box, difficult
    [0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0], [0, 1, 1, 0.6, 0.6, 0.9, 0.9, 1], [0, 2, 0, 0.0, 0.0, 0.3, 0.4, 0],
    [2, 2, 0, 0.2, 0.2, 0.8, 0.9, 0], [2, 2, 1, 0.25, 0.2, 0.8, 0.9, 0],
], float)[None, None]  # fmt: skip
FOUND = np.array([
    [0, 1, 0.9, 0.12, 0.1, 0.5, 0.5], [0, 1, 0.8, 0.1, 0.12, 0.5, 0.52], [0, 1, 0.95, 0.6, 0.62, 0.9, 0.9],
    [0, 2, 0.3, 0.7, 0.7, 0.9, 0.9], [1, 1, 0.5, 0.1, 0.1, 0.5, 0.5], [2, 1, 0.4, 0.2, 0.2, 0.8, 0.9],
    [2, 2, 0.7, 0.2, 0.2, 0.8, 0.9], [2, 2, 0.6, 0.26, 0.2, 0.8, 0.9], [2, 2, 0.6, 0.2, 0.2, 0.8, 0.5],
], float)[None, None]  # fmt: skip
NOTHING = np.array([[[[0, -1, -1, -1, -1, -1, -1], [1, -1, -1, -1, -1, -1, -1]]]], float)


def overlap(a, b, one=0):
    w, h = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + one, 0) for i in (0, 1))
    size = [(x[2] - x[0] + one) * (x[3] - x[1] + one) for x in (a, b)]
    return w * h / (sum(size) - w * h)


def reference(classes=3, background=0, threshold=0.5, difficult=True, sizes=None):
    def f(bottoms, blobs):
        found, true = (x[0, 0].tolist() for x in bottoms)
        names = [c for c in range(classes) if c != background]
        rows = [[-1, c, sum(t[1] == c and (difficult or not t[7]) for t in true), -1, -1] for c in names]
        number = 0
        for image in sorted({row[0] for row in found}):
            taken = set()
            mine = [row for row in found if row[0] == image and row[1] != -1]
            for row in sorted(mine, key=lambda row: (row[1], -row[2])):
                scale = np.tile(sizes[number % len(sizes)][::-1], 2) if sizes else np.ones(4)
                near = [
                    (overlap(np.array(row[3:]) * scale, np.array(t[3:7]) * scale, 1 if sizes else 0), -i)
                    for i, t in enumerate(true) if t[0] == image and t[1] == row[1]
                ]  # fmt: skip
                best, which = max(near, default=(0, 0))
                if best < threshold:
                    hit = (0, 1)
                elif true[-which][7] and not difficult:
                    hit = (0, 0)
                else:
                    hit = (0, 1) if which in taken else (1, 0)
                    taken.add(which)
                rows.append([*row[:3], *hit])
            number += 1
        return [np.array(rows)[None, None]]

    return f


def case(name, options="", found=FOUND, true=TRUE, **settings):
    text = f'type: "DetectionEvaluate" detection_evaluate_param {{ num_classes: 3 {options} }}'
    return Case(name, text, [found, true], reference(**settings), gradient=False, onnx="a metric", opencv="a metric")


CASES = [
    case("as SSD has it"),
    case("no difficult ones", "evaluate_difficult_gt: false", difficult=False),
    case("a strict threshold", "overlap_threshold: 0.93", threshold=0.93),
    case("another background", "background_label_id: 2", true=TRUE[:, :, :2], background=2),
    case("no true box", true=np.full((1, 1, 1, 8), -1.0)),
]
test_cases = run(CASES)

test_refused = refusals([
    ('type: "DetectionEvaluate"', [FOUND, TRUE], 1, "give num_classes"),
    ('type: "DetectionEvaluate" detection_evaluate_param { num_classes: 3 }', [TRUE, FOUND], 1, "wants detections"),
    ('type: "DetectionEvaluate" detection_evaluate_param { num_classes: 3 overlap_threshold: 0 }', [FOUND, TRUE], 1,
     "must be positive"),
    ('type: "DetectionEvaluate" detection_evaluate_param { num_classes: 3 resize_param { height: 3 width: 3 } }',
     [FOUND, TRUE], 1, "resize_param"),
    ('type: "DetectionEvaluate" detection_evaluate_param { num_classes: 3 name_size_file: "none" }', [FOUND, TRUE], 1,
     "name_size_file none is not"),
])  # fmt: skip


def answer(one: Case) -> np.ndarray:
    return outputs(make(one), feed(one, torch.float32))[0].numpy()


def test_rows_that_say_nothing_do_not_count() -> None:
    np.testing.assert_array_equal(answer(case("nothing", found=NOTHING)), reference()([NOTHING, TRUE], [])[0])
    assert answer(case("nothing", found=NOTHING)).shape == (1, 1, 2, 5)


def test_a_class_that_is_none() -> None:
    with pytest.raises(Exception, match="layer 'l'.*a true box is of class 2"):
        answer(case("wrong", "background_label_id: 2"))


def test_sizes_go_on_from_batch_to_batch(tmp_path: Path) -> None:
    path = tmp_path / "sizes.txt"
    path.write_text("a 10 20\nb 7 5\nc d 3 4\nlast 30 2\n")
    sizes = [(10, 20), (7, 5), (3, 4), (30, 2)]
    one = case("sizes", f'name_size_file: "{path}" overlap_threshold: 0.8')
    net, bottoms = make(one), feed(one, torch.float32)
    for start in (0, 3, 2, 1):  # three images a batch, four sizes
        want = reference(threshold=0.8, sizes=sizes[start:] + sizes[:start])([FOUND, TRUE], [])[0]
        np.testing.assert_allclose(outputs(net, bottoms)[0].numpy(), want, rtol=1e-6)
