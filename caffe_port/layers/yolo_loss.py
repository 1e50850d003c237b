"""What YOLO's losses share: which predictions answer for which true box.

Boxes are centre and size, as shares of the image. Source: region_loss_layer.cpp and yolov3_layer.cpp of MobileNet-YOLO,
after Darknet's region and yolo layers (Redmon and Farhadi, 2016 and 2018).
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe_port.layers import boxes
from caffe_port.layers.base import Layer, Shape


def corners(box: Tensor) -> Tensor:
    return torch.cat([box[..., :2] - box[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2], -1)


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes, broadcast."""
    return boxes.overlaps(corners(a), corners(b))


def of_shapes(sizes: Tensor, size: Tensor) -> Tensor:
    """The same of boxes (A, 2) and one (2,) with one centre."""
    return overlaps(torch.cat([torch.zeros_like(sizes), sizes], 1), torch.cat([torch.zeros_like(size), size]))


def check_shapes(layer: Layer, predicted: Shape, labels: Shape, boxes_: int, classes: int) -> None:
    wanted = boxes_ * (5 + classes)
    if len(predicted) != 4 or predicted[1] != wanted:
        raise layer.shape_error(f"predictions must be (N, {boxes_} * {5 + classes}, height, width), not {predicted}")
    if not labels or labels[0] != predicted[0] or prod(labels[1:]) % 5:
        raise layer.shape_error(f"labels must be ({predicted[0]}, ..., 5), as AnnotatedData makes them, not {labels}")


def true_boxes(layer: Layer, rows: Tensor, classes: int) -> tuple[int, int]:
    """Of an image's labels (G, 5), class and box, how many come before the first without an x: negatives are chosen by
    these; and before the first without a width: these are learnt. LayerError for what is no class or place.
    """
    numbers = rows.tolist()
    seen = next((i for i, row in enumerate(numbers) if not row[1]), len(numbers))
    learnt = next((i for i, row in enumerate(numbers) if not row[3]), len(numbers))
    for label, x, y, _, _ in numbers[:learnt]:
        if not 0 <= label < classes or not 0 <= x < 1 or not 0 <= y < 1:
            raise layer.error(f"a true box of class {label:g} at ({x:g}, {y:g}): classes are 0 to {classes - 1}, and a "
                              "centre lies inside the image")  # fmt: skip
    return seen, learnt


def best_overlap(found: Tensor, true: Tensor) -> Tensor:
    """The greatest overlap of each box of found (..., 4) with true ones (G, 4); 0 where there are none."""
    if not len(true):
        return found.new_zeros(found.shape[:-1])
    return overlaps(found.unsqueeze(-2), true).amax(-1)
