"""Which prior stands for which true box, and which priors teach what is background: SSD's choices before its loss.

Matches are numbers of true boxes, NONE, or IGNORED. Nothing here has a gradient. Source: MatchBBox, FindMatches and
MineHardExamples in bbox_util.cpp of SSD (Liu et al., 2016, section 2.2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from caffe_port.layers import boxes
from caffe_port.proto import caffe_pb2

NONE, IGNORED = -1, -2
LEAST_OVERLAP = 1e-6
SMALLEST = 1e-5
"""Area below which suppression does away with a box (ApplyNMS)."""
_Loss = caffe_pb2.MultiBoxLossParameter


def match(found: Tensor, truth: Tensor, param: Any) -> tuple[Tensor, Tensor]:
    """Match and overlap of each box of found (P, 4) with truth (G, 4).

    First every true box takes the free box that overlaps it most, the best pair first; then (PER_PREDICTION) every free
    box takes the true box that it overlaps most, from `overlap_threshold` on.
    """
    index = torch.full((len(found),), NONE, device=found.device)
    best = found.new_zeros(len(found))
    if not len(truth) or not len(found):
        return index, best
    overlap = boxes.overlaps(found[:, None], truth[None])
    overlap = torch.where(overlap > LEAST_OVERLAP, overlap, 0)
    if param.ignore_cross_boundary_bbox:
        crossing = ((found < 0) | (found > 1)).any(1)
        index = torch.where(crossing, IGNORED, index)
        overlap = torch.where(crossing[:, None], 0, overlap)
    best = overlap.amax(1)
    left = overlap.clone()
    for _ in range(len(truth)):
        place = left.argmax()
        box, true = place // len(truth), place % len(truth)
        if left[box, true] <= 0:
            break
        index[box], best[box] = true, left[box, true]
        left[box], left[:, true] = 0, 0
    if param.match_type == _Loss.PER_PREDICTION:
        most = overlap.amax(1)
        free = (index == NONE) & (most > 0) & (most >= param.overlap_threshold)
        index = torch.where(free, overlap.argmax(1), index)
    return index, best


def mine(matches: Tensor, overlaps: Tensor, loss: Tensor, candidates: Tensor, param: Any) -> tuple[Tensor, Tensor]:
    """Matches after mining, and which priors (P,) are negatives, of one image.

    MAX_NEGATIVE: of the priors that match nothing and overlap less than `neg_overlap`, those with the greatest loss,
    `neg_pos_ratio` for each match. HARD_EXAMPLE: the `sample_size` priors with the greatest loss; other matches are
    dropped. With `nms_param` the choice is from what suppression among `candidates` (P, 4) leaves, greatest loss first.
    """
    hard = param.mining_type == _Loss.HARD_EXAMPLE
    negative = (matches == NONE) & (overlaps < param.neg_overlap)
    eligible = torch.ones_like(negative) if hard else negative
    positives = int((matches >= 0).sum())
    count = param.sample_size if hard else int(torch.tensor(positives * param.neg_pos_ratio, dtype=torch.float32))
    places = eligible.nonzero().flatten()
    order = places[loss[places].sort(descending=True, stable=True).indices]
    if param.HasField("nms_param") and param.nms_param.nms_threshold > 0:
        if param.nms_param.top_k > -1:
            order = order[: param.nms_param.top_k]
        ranked = candidates[order]
        kept = boxes.suppress(ranked[None], (boxes.areas(ranked) >= SMALLEST)[None], param.nms_param.nms_threshold)[0]
        order = order[kept]
    chosen = torch.zeros_like(eligible)
    chosen[order[:count]] = True
    negatives = chosen & (matches == NONE)
    return (torch.where((matches >= 0) & ~chosen, NONE, matches) if hard else matches), negatives
