"""What the detection layers share about boxes: overlaps, how offsets code them, and suppression of the lesser.

A box is xmin, ymin, xmax, ymax on the last axis. In SSD and YOLO it spans xmax - xmin; where boxes count whole pixels
(Faster R-CNN) it spans one more: `pixels=1`. An inverted box has no area.

Sources: bbox_util.cpp of SSD; nms of py-faster-rcnn.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape
from caffe_port.proto import caffe_pb2

_Code = caffe_pb2.PriorBoxParameter
CORNER, CENTER_SIZE, CORNER_SIZE = _Code.CORNER, _Code.CENTER_SIZE, _Code.CORNER_SIZE


def areas(boxes: Tensor, pixels: float = 0) -> Tensor:
    spans = boxes[..., 2:] - boxes[..., :2]
    return torch.where((spans < 0).any(-1), 0, (spans + pixels).prod(-1))


def overlaps(a: Tensor, b: Tensor, pixels: float = 0) -> Tensor:
    """Intersection over union (Jaccard), broadcast; 0 where nothing is shared."""
    shared = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2]) + pixels
    both = torch.where((shared <= 0).any(-1), 0, shared.prod(-1))
    union = areas(a, pixels) + areas(b, pixels) - both
    return torch.where(both > 0, both / torch.where(both > 0, union, 1), 0)


def decode(offsets: Tensor, priors: Tensor, variances: Tensor | None, code: int) -> Tensor:
    """Boxes from predicted offsets. `variances` None: the offsets hold them already (variance_encoded_in_target)."""
    if variances is not None:
        offsets = offsets * variances
    size = priors[..., 2:] - priors[..., :2]
    if code == CORNER:
        return priors + offsets
    if code == CORNER_SIZE:
        return priors + offsets * torch.cat([size, size], -1)
    centre = (priors[..., :2] + priors[..., 2:]) / 2 + offsets[..., :2] * size
    half = offsets[..., 2:].exp() * size / 2
    return torch.cat([centre - half, centre + half], -1)


def encode(boxes: Tensor, priors: Tensor, variances: Tensor | None, code: int) -> Tensor:
    """Offsets of boxes from priors: the inverse of `decode`."""
    size = priors[..., 2:] - priors[..., :2]
    if code == CORNER:
        offsets = boxes - priors
    elif code == CORNER_SIZE:
        offsets = (boxes - priors) / torch.cat([size, size], -1)
    else:
        moved = (boxes[..., :2] + boxes[..., 2:] - priors[..., :2] - priors[..., 2:]) / 2 / size
        offsets = torch.cat([moved, ((boxes[..., 2:] - boxes[..., :2]) / size).log()], -1)
    return offsets if variances is None else offsets / variances


def suppress(
    boxes: Tensor,
    valid: Tensor,
    threshold: float,
    eta: float = 1,
    pixels: float = 0,
    inclusive: bool = False,
    most: int | None = None,
) -> Tensor:
    """Which boxes greedy non-maximum suppression keeps: (rows, K) of bool.

    boxes (rows, K, 4), each row best first; valid (rows, K). The best box left is kept, those that overlap it by more
    than `threshold` (at least, if `inclusive`) are dropped, and so on. With `eta` < 1 the threshold shrinks by it at
    every box kept, down to 0.5. `most`: stop after so many of a row. All rows go side by side, one kept box a step,
    at each of which a GPU is waited for: how many boxes are left decides whether there is another.
    """
    rows, count = valid.shape
    keep = torch.zeros_like(valid)
    row = torch.arange(rows, device=boxes.device)
    place = torch.arange(count, device=boxes.device).expand(rows, count)
    limit = torch.full((rows, 1), threshold, dtype=boxes.dtype, device=boxes.device)
    worst = torch.full((rows, count), -1.0, dtype=boxes.dtype, device=boxes.device)  # overlap with any box kept
    left = valid.clone()
    for _ in range(count if most is None else min(most, count)):
        longest = int(left.sum(1).max()) if rows else 0
        if not longest:
            break
        if longest * 2 < left.shape[1]:  # go on with what is left only
            order = (~left).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
            left, worst, place = (part.gather(1, order) for part in (left, worst, place))
            boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
        chosen = left.to(torch.uint8).argmax(1)
        any_left = left.any(1, keepdim=True)
        keep[row, place[row, chosen]] |= any_left[:, 0]
        left[row, chosen] = False
        overlap = overlaps(boxes[row, chosen][:, None], boxes, pixels)
        if inclusive:  # a comparison with NaN (boxes without end) drops nothing there, but does in SSD
            overlap = overlap.nan_to_num(-1)
        worst = torch.where(any_left, torch.maximum(worst, overlap), worst)
        if eta < 1:
            limit = torch.where(any_left & (limit > 0.5), limit * eta, limit)
        left &= worst < limit if inclusive else worst <= limit
    return keep


def count_priors(layer: Layer, locations: Shape, scores: Shape, priors: Shape, classes: int, offsets: int) -> int:
    """The number of priors; ShapeError unless locations, scores and priors agree about it."""
    if len(priors) < 3 or priors[0] != 1 or priors[1] != 2 or priors[2] % 4:
        raise layer.shape_error(f"priors must be (1, 2, 4 * priors), not {priors}")
    count = priors[2] // 4
    for name, shape, each in (("locations", locations, offsets * 4), ("scores", scores, classes)):
        if not shape or prod(shape[1:]) != count * each:
            raise layer.shape_error(f"{name} {shape} do not fit {count} priors: {each} each make (N, {count * each})")
    if locations[0] != scores[0]:
        raise layer.shape_error(f"locations {locations} and scores {scores} differ in the first dimension")
    return count
