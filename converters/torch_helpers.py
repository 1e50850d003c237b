"""Functions of plain PyTorch for ONNX operators that torch has no call for.

`torch_source` copies the text of those that a net needs into the module that it writes: so each stands by itself, but
for torch, F and Tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def max_pool_with_places(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> tuple[Tensor, Tensor]:
    """Maxima of windows, and where each is: row * width + column. `pads`: top, left, bottom, right."""
    top, left, bottom, right = pads
    padded = F.pad(x, (left, right, top, bottom), value=float("-inf"))
    values, places = F.max_pool2d(padded, kernel, stride, return_indices=True)
    row, column = places // padded.shape[3] - top, places % padded.shape[3] - left
    return values, row * x.shape[3] + column


def top_k(x: Tensor, count: int, axis: int, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The first `count` values along an axis in order, and their indices; of equal values the first come first."""
    values, indices = x.sort(dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count)


def gather_nd(x: Tensor, index: Tensor) -> Tensor:
    """x[index[..., 0], index[..., 1], ...]"""
    return x[index.unbind(-1)]


def scatter_nd(x: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """x with x[index[..., 0], index[..., 1], ...] = values"""
    made = x.clone()
    made[index.unbind(-1)] = values
    return made


def non_max_suppression(boxes: Tensor, scores: Tensor, most: int, overlap: float, least: float | None) -> Tensor:
    """The boxes (images, boxes, 4) that remain: rows (image, class, box), the best first of each image and class.

    scores (images, classes, boxes). A box falls whose score is not above `least`, or whose intersection with a better
    one is more than `overlap` of their union; `most` remain of each image and class.
    """
    low, high = torch.minimum(boxes[..., :2], boxes[..., 2:]), torch.maximum(boxes[..., :2], boxes[..., 2:])
    kept = []
    for image in range(scores.shape[0]):
        area = (high[image] - low[image]).prod(1)
        for label in range(scores.shape[1]):
            order = scores[image, label].argsort(descending=True, stable=True)
            if least is not None:
                order = order[scores[image, label, order] > least]
            found = 0
            while len(order) and found < most:
                best, order, found = order[0], order[1:], found + 1
                kept.append([image, label, int(best)])
                sides = torch.minimum(high[image, best], high[image, order]) - torch.maximum(
                    low[image, best], low[image, order]
                )
                common = sides.clamp(min=0).prod(1)
                joined = area[best] + area[order] - common
                order = order[~((area[best] > 0) & (area[order] > 0) & (joined > 0) & (common / joined > overlap))]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device).reshape(-1, 3)


def max_roi_pool(x: Tensor, rois: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """The maxima of `size` bins over each region (image, left, top, right, bottom), both ends included; 0 if empty."""
    made = x.new_zeros(len(rois), x.shape[1], *size)
    for i, roi in enumerate(rois.detach()):
        place = roi[1:] * scale
        left, top, right, bottom = (place.sign() * (place.abs() + 0.5).floor()).tolist()  # halves away from 0
        height, width = max(bottom - top + 1, 1) / size[0], max(right - left + 1, 1) / size[1]
        for row in range(size[0]):
            y0, y1 = _bin(top, height, row, x.shape[2])
            for column in range(size[1]):
                x0, x1 = _bin(left, width, column, x.shape[3])
                if y1 > y0 and x1 > x0:
                    made[i, :, row, column] = x[int(roi[0]), :, y0:y1, x0:x1].amax((1, 2))
    return made


def _bin(start: float, size: float, number: int, length: int) -> tuple[int, int]:
    """First pixel and last of a bin, the last excluded, cut at the border."""
    single = torch.tensor(size, dtype=torch.float32)
    first, last = (number * single).floor() + start, ((number + 1) * single).ceil() + start
    return int(first.clamp(0, length)), int(last.clamp(0, length))


def roi_align(x: Tensor, corners: Tensor, image: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """Means of bilinear samples in `size` bins over each region (left, top, right, bottom), at most a pixel apart."""
    place = corners.detach() * scale
    length = (place[:, 2:] - place[:, :2]).clamp(min=1)
    made = []
    for i in range(len(place)):
        rows = _bin_weights(place[i, 1], length[i, 1], size[0], x.shape[2])
        columns = _bin_weights(place[i, 0], length[i, 0], size[1], x.shape[3])
        made.append(rows @ x[int(image[i])] @ columns.T)
    return torch.stack(made) if made else x.new_zeros(0, x.shape[1], *size)


def _bin_weights(start: Tensor, length: Tensor, bins: int, pixels: int) -> Tensor:
    """(bins, pixels): how much each pixel of an axis counts in each bin. More than a pixel outside there is nothing."""
    samples = int((length / bins).ceil())
    at = start + (torch.arange(bins * samples, device=start.device) + 0.5) * (length / (bins * samples))
    inside = ((at >= -1) & (at <= pixels)).to(start.dtype)
    near = (1 - (at.clamp(0, pixels - 1)[:, None] - torch.arange(pixels, device=start.device)).abs()).clamp(min=0)
    return (near * inside[:, None]).reshape(bins, samples, pixels).mean(1)


USES: dict[Callable[..., Any], list[Callable[..., Any]]] = {max_roi_pool: [_bin], roi_align: [_bin_weights]}
"""What else a function needs."""
