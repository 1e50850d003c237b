"""Generalised overlaps of two boxes and Darknet's gradients of them: GIoU, DIoU, CIoU.

Boxes are (x, y, w, h), plain numbers. The gradients are written down in Darknet, not derived: those of the overlap and
of GIoU by w and h are twice the derivative, those of the further terms of DIoU and CIoU are not; boxes apart have the
further term's only, in which the intersection is the product of two negative spans.

Source: dx_box_iou in yolov3_layer.cpp and box_giou, box_diou, box_ciou in bbox_util.cpp of MobileNet-YOLO; Rezatofighi
et al., Generalized intersection over union, 2019; Zheng et al., Distance-IoU loss, 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe_port.proto import caffe_pb2

_Loss = caffe_pb2.Yolov3Parameter
IOU, GIOU, MSE, DIOU, CIOU = _Loss.IOU, _Loss.GIOU, _Loss.MSE, _Loss.DIOU, _Loss.CIOU
Box = Sequence[float]


def sides(box: Box) -> tuple[float, float, float, float]:
    """left, top, right, bottom"""
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def spans(a: Box, b: Box) -> tuple[float, float, float, float]:
    """Width and height of what both cover (negative where they are apart), and of what covers both."""
    (l1, t1, r1, b1), (l2, t2, r2, b2) = sides(a), sides(b)
    return min(r1, r2) - max(l1, l2), min(b1, b2) - max(t1, t2), max(r1, r2) - min(l1, l2), max(b1, b2) - min(t1, t2)


def aspect(a: Box, b: Box) -> float:
    """How far the angles of the diagonals differ, squared, as a share of the greatest possible."""
    return 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2


def measure(a: Box, b: Box, kind: int) -> float:
    """IoU (also for MSE), GIoU, DIoU or CIoU of a predicted and a true box."""
    wide, high, outer_wide, outer_high = spans(a, b)
    both = wide * high if wide > 0 and high > 0 else 0.0
    union = a[2] * a[3] + b[2] * b[3] - both
    overlap = both / union if union else 0.0
    far = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    diagonal, outer = outer_wide**2 + outer_high**2, outer_wide * outer_high
    if kind == GIOU and outer:
        return overlap - (outer - union) / outer
    if kind == DIOU and diagonal:
        return overlap - (far / diagonal) ** 0.6
    if kind == CIOU and diagonal:
        other = aspect(a, b)
        return overlap - far / diagonal - other**2 / (1 - overlap + other + 1e-6)
    return overlap


def slopes(a: Box, b: Box, kind: int) -> list[float]:
    """Darknet's gradient of the measure by x, y, w and h of the predicted box `a`."""
    (l1, t1, r1, b1), (l2, t2, r2, b2) = sides(a), sides(b)
    wide, high, outer_wide, outer_high = spans(a, b)
    both, outer = wide * high, outer_wide * outer_high
    union = a[2] * a[3] + b[2] * b[3] - both
    apart = wide <= 0 or high <= 0
    # By the sides left, top, right, bottom: of the intersection, the union, what is around both
    d_both = [-high * (l1 > l2), -wide * (t1 > t2), high * (r1 < r2), wide * (b1 < b2)]
    d_union = [of - d for of, d in zip((-a[3], -a[2], a[3], a[2]), d_both, strict=True)]
    d_outer = [-outer_high * (l1 < l2), -outer_wide * (t1 < t2), outer_high * (r1 > r2), outer_wide * (b1 > b2)]
    by_side = [(union * i - both * u) / union**2 if union > 0 else 0.0 for i, u in zip(d_both, d_union, strict=True)]
    if kind == GIOU and outer > 0:
        further = [(outer * u - union * o) / outer**2 for u, o in zip(d_union, d_outer, strict=True)]
        by_side = further if apart else [s + f for s, f in zip(by_side, further, strict=True)]
    left, top, right, bottom = by_side
    found = [left + right, top + bottom, right - left, bottom - top]
    if kind not in (DIOU, CIOU):
        return found
    diagonal = outer_wide**2 + outer_high**2
    far = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    d_wide = [(r1 > r2) * 1.0 - (l1 < l2), 0.0, ((r1 > r2) * 1.0 + (l1 < l2)) / 2, 0.0]
    d_high = [0.0, (b1 > b2) * 1.0 - (t1 < t2), 0.0, ((b1 > b2) * 1.0 + (t1 < t2)) / 2]
    growth = [2 * outer_wide * w + 2 * outer_high * h for w, h in zip(d_wide, d_high, strict=True)]
    towards = [2 * (b[0] - a[0]) * diagonal, 2 * (b[1] - a[1]) * diagonal, 0.0, 0.0]
    # Darknet turns the sign of the diagonal's growth for the centre only.
    signs = (-1, -1, 1, 1)
    further = [(t + s * g * far) / diagonal**2 for t, s, g in zip(towards, signs, growth, strict=True)]
    if kind == CIOU:
        other = aspect(a, b)
        turn = 8 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3]))
        overlap = both / union if union else 0.0
        alpha = other / (1 - overlap + other + 1e-6)
        further[2] += alpha * turn * a[3]
        further[3] -= alpha * turn * a[2]
    return further if apart else [f + g for f, g in zip(found, further, strict=True)]
