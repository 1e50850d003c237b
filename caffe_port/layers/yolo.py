"""What YOLO's output layers share: ranking, suppression over all classes, and the rows of the top.

Source: yolo_detection_output_layer.cpp and yolov3_detection_output_layer.cpp of MobileNet-YOLO.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import boxes, detection_onnx


def grid(height: int, width: int) -> np.ndarray:
    """(height * width, 2): x and y of the pixels in reading order."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], -1).astype(np.float64)


def rows(corners: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """(1, 1, M, 7) of candidates corners (N, B, 4), scores, labels and valid (N, K), K a multiple of B: image, label,
    score, corners, by image and falling score; or, where nothing is left, N rows of the image and six times -1."""
    images, each = len(scores), scores.shape[1] // max(1, corners.shape[1])
    length = int(valid.sum(1).max()) if valid.numel() else 0
    ranked, order = torch.where(valid, scores, -torch.inf).sort(dim=1, descending=True, stable=True)
    ranked, order = ranked[:, :length], order[:, :length]
    found = corners.gather(1, (order // max(1, each))[..., None].expand(-1, -1, 4))
    keep = boxes.suppress(found, valid.gather(1, order), threshold, inclusive=True)
    image = keep.nonzero()[:, 0]
    if not len(image):
        nothing = scores.new_full((images, 7), -1)
        nothing[:, 0] = torch.arange(images, device=scores.device)
        return nothing[None, None]
    head = torch.stack([image.to(scores.dtype), labels.gather(1, order)[keep].to(scores.dtype), ranked[keep]], 1)
    return torch.cat([head, found[keep]], 1)[None, None]


def corners(centre: Tensor, size: Tensor) -> Tensor:
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def onnx_corners(graph: Any, centre: str, size: str) -> str:
    half = graph.node("Mul", [size, detection_onnx.number(graph, 0.5)])
    return graph.node("Concat", [graph.node("Sub", [centre, half]), graph.node("Add", [centre, half])], axis=-1)


def onnx_suppress(graph: Any, found: str, scores: str, count: int, overlap: float, score: float) -> str:
    """`kept` (see detection_onnx.py): overlaps of `overlap` are too many already, where ONNX wants more than that."""
    below = float(np.nextafter(np.float32(overlap), np.float32(-1)))
    return detection_onnx.suppress(graph, found, scores, count, max(below, 0), score)
