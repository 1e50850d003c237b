"""DecodeBBox: regions moved by offsets, and which are left for training."""

import math

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

MEAN, DEVIATION = (0.1, 0, -0.2, 0.05), (0.1, 0.2, 0.3, 0.4)
REG = "bbox_reg_param { " + " ".join(
    f"bbox_mean: {m} bbox_std: {s}" for m, s in zip(MEAN, DEVIATION, strict=True)
) + " }"  # fmt: skip
REGIONS = np.array([[0, 3, 4, 10, 20], [1, 0, 0, 31, 15], [0, 7.5, 2.25, 7.5, 9], [1, 5, 5, 4, 4]], float)


def reference(mean=(0,) * 4, deviation=(1,) * 4):
    def compute(bottoms, blobs):
        rows = []
        for moves, (image, x1, y1, x2, y2) in zip(bottoms[0].reshape(-1, 8), bottoms[1].reshape(-1, 5), strict=True):
            x, y, w, h = (v * d + m for v, m, d in zip(moves[4:], mean, deviation, strict=True))
            wide, high = x2 - x1 + 1, y2 - y1 + 1
            cx, cy = (x1 + x2) / 2 + x * wide, (y1 + y2) / 2 + y * high
            grown, tall = wide * math.exp(w), high * math.exp(h)
            left, top = cx - (grown - 1) / 2, cy - (tall - 1) / 2
            rows.append([image, left, top, left + grown - 1, top + tall - 1])
        return [np.array(rows).reshape(-1, 5, 1, 1)]

    return compute


CASES = [
    Case("plain", 'type: "DecodeBBox"', [(4, 8), REGIONS], reference(), opencv="it has no DecodeBBox"),
    Case("normalised", f'type: "DecodeBBox" {REG}', [(4, 8, 1, 1), REGIONS.reshape(4, 5, 1, 1)],
         reference(MEAN, DEVIATION), opencv="it has no DecodeBBox"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "DecodeBBox"', [(4, 4), (4, 5)], 1, r"wants offsets \(R, 8\) and regions \(R, 5\)"),
    ('type: "DecodeBBox"', [(4, 8), (3, 5)], 1, "wants offsets"),
    ('type: "DecodeBBox"', [(4, 8), (4, 5), (4, 6)], 1, "is for the TRAIN phase"),
    ('type: "DecodeBBox" bbox_reg_param { bbox_mean: 1 bbox_std: 1 }', [(4, 8), (4, 5)], 1, "4 times each"),
])


def test_what_is_left_for_training():
    """The second is inverted, the third overlaps a true box too much."""
    given = [torch.zeros(4, 8), torch.tensor([[0.0, 1, 1, 4, 4], [0, 6, 1, 4, 4], [0, 2, 2, 5, 5], [1, 0, 0, 3, 3]])]
    overlap = torch.tensor([[0, 0.2], [0, 0.1], [0, 0.96], [0, 0.94]])
    layer = make(Case("l", 'type: "DecodeBBox"', [(4, 8), (4, 5), (4, 2)], phase="TRAIN")).layer("l")
    assert layer(*given, overlap).flatten(1).tolist() == given[1][[0, 3]].tolist()
    assert layer(*given).flatten(1).tolist() == given[1][[0, 2, 3]].tolist()
    with pytest.raises(LayerError, match="layer 'l'.*no region is left"):
        layer(*given, torch.ones(4, 1))
