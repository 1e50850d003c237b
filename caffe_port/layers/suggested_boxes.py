"""What the layers of MS-CNN and Cascade R-CNN share about boxes: their offsets, and the best of them.

Source: box_output_layer.cpp of MS-CNN (Cai et al., 2016); bbox_util.cpp of Cascade R-CNN (Cai and Vasconcelos, 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, numbers

OVERLAPS = ("IOU", "IOMU", "IOFU")


def normalisation(layer: Layer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the four offsets (x, y, width, height); LayerError unless both or none are given."""
    p = layer.param.bbox_reg_param
    mean, deviation = tuple(p.bbox_mean), tuple(p.bbox_std)
    if (len(mean), len(deviation)) not in ((0, 0), (4, 4)) or min(deviation, default=1) <= 0:
        raise layer.error("give bbox_mean and bbox_std 4 times each, the latter positive, or neither")
    return (mean, deviation) if mean else ((0.0,) * 4, (1.0,) * 4)


def check(layer: Layer, p: Any) -> None:
    """The options that both layers have."""
    if p.nms_type not in OVERLAPS:
        raise layer.unsupported(f"nms_type '{p.nms_type}'; known are {', '.join(OVERLAPS)}")
    if p.field_whr < 1 or p.field_xyr <= 0:
        raise layer.error("field_whr must be at least 1, field_xyr positive")
    normalisation(layer)


def most(shapes: Sequence[Shape], p: Any) -> int:
    """Of boxes that there can be in the maps of these shapes, (images or groups, channels, height, width)."""
    count = sum(shape[0] * math.prod(shape[2:]) for shape in shapes)
    return max(1, min(count, p.max_nms_num or count, p.max_post_nms_num or count))


def spread(
    offsets: Tensor, layer: Layer, p: Any, fields: Sequence[tuple[float, float]], stride: int
) -> tuple[Tensor, Tensor]:
    """Upper left corners and sizes, (B, 2, H, W) each, x before y, of the boxes that offsets (B, 4, H, W) code.

    Around the middle of every place, `stride` apart, stands a field, of map b that of fields[b mod their number],
    (wide, high). The offsets are freed of their normalisation, and cut at 1 / field_xyr and at the logarithm of
    field_whr.
    """
    mean, deviation, field = layer.made_once(offsets, numbers, *normalisation(layer), tuple(fields))
    moves = offsets * deviation.reshape(1, 4, 1, 1) + mean.reshape(1, 4, 1, 1)
    count, _, height, width = offsets.shape
    field = field.repeat(count // len(fields), 1)[:, :, None, None]
    rows, columns = (torch.arange(n, device=offsets.device, dtype=offsets.dtype) for n in (height, width))
    middle = (torch.stack(torch.meshgrid(columns, rows, indexing="xy")) + 0.5) * stride
    limit, growth = 1 / p.field_xyr, math.log(p.field_whr)
    size = field * moves[:, 2:].clamp(-growth, growth).exp()
    return moves[:, :2].clamp(-limit, limit) * field + middle - size / 2, size


def overlaps(one: Tensor, boxes: Tensor, kind: str, pixels: float) -> Tensor:
    """Of a box and others, the shared area by that of their union (IOU), the lesser's (IOMU), or `one`'s (IOFU).

    With `pixels` 1 boxes count whole pixels; they then share something where their columns only touch, but not where
    their rows do.
    """
    shared = torch.minimum(one[2:], boxes[:, 2:]) - torch.maximum(one[:2], boxes[:, :2])
    apart = (shared[:, 0] < 0 if pixels else shared[:, 0] <= 0) | (shared[:, 1] <= 0)
    both = torch.where(apart, 0, (shared + pixels).prod(1))
    own, others = ((b[..., 2:] - b[..., :2] + pixels).prod(-1) for b in (one, boxes))
    by = {"IOU": own + others - both, "IOMU": torch.minimum(own, others), "IOFU": own.expand_as(others)}[kind]
    return torch.where(both > 0, both / by, 0)


def best(boxes: Tensor, scores: Tensor, p: Any, pixels: float) -> tuple[Tensor, Tensor]:
    """Boxes (K, 4) and their scores, best first: max_nms_num before suppression, max_post_nms_num after it."""
    order = scores.argsort(descending=True, stable=True)[: p.max_nms_num or None]
    boxes, scores = boxes[order], scores[order]
    left = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    kept = torch.zeros_like(left)
    count = 0
    while left.any() and (not p.max_post_nms_num or count < p.max_post_nms_num):
        first = int(left.to(torch.uint8).argmax())
        kept[first] = True
        count += 1
        left &= ~(overlaps(boxes[first], boxes, p.nms_type, pixels) > p.iou_thr)
        left[first] = False
    return boxes[kept], scores[kept]


def tops(layer: Layer, found: list[tuple[Tensor, Tensor]], like: Tensor) -> tuple[Tensor, ...]:
    """Rows (image, box) and, of two tops, (image, box, score), with two more axes of size 1; where no image has a box,
    one row (0, 1, 1, 10, 10) and one of zeros."""
    rows = [torch.cat([b.new_full((len(b), 1), i), b, s[:, None]], 1) for i, (b, s) in enumerate(found)]
    every = torch.cat([like.new_zeros(0, 6), *rows])
    plain, scored = every[:, :5], every
    if not len(every):
        (row,) = layer.made_once(like, numbers, (0, 1, 1, 10, 10))
        plain, scored = row[None].clone(), every.new_zeros(1, 6)
    return tuple(top[..., None, None] for top in (plain, scored))[: max(1, len(layer.param.top))]
