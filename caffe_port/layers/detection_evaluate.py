"""DetectionEvaluate: which detections hit a true box and which do not, for a mean average precision."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import boxes
from caffe_port.layers.base import Layer, Shape, register


@register()
class DetectionEvaluate(Layer):
    """Rows (-1, class, number of true boxes, -1, -1), then (image, class, score, 1 or 0, 0 or 1) for each detection.

    Bottoms: detections (1, 1, M, 7) as DetectionOutput makes them; true boxes (1, 1, G, 8) as AnnotatedData makes them.
    Top: (1, 1, C + M, 5), C the classes but the background (none if it is -1), M without the rows that say that there
    is nothing. By image, class and falling score: a detection is right if the true box that it overlaps most, by at
    least `overlap_threshold`, is not yet taken. Without `evaluate_difficult_gt` difficult true boxes do not count, and
    what hits one is neither right nor wrong (0, 0).

    `name_size_file`: lines `name height width`, in the order of the images; overlaps are then of boxes in pixels, which
    span one more. Which line is next the layer keeps from batch to batch, over images with a row among the detections.
    No gradient. Raises where a class is none, and for `resize_param`. M depends on the values: the shape rule takes all
    rows. Source: detection_evaluate_layer.cpp of SSD (Liu et al., 2016).
    """

    origin = "SSD"
    bottoms: ClassVar[tuple[int, int | None]] = (2, 2)
    role = "metric"
    differentiable_bottoms = ()
    memory: ClassVar[tuple[str, ...]] = ("count",)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.detection_evaluate_param
        if not p.num_classes:
            raise self.error("give num_classes, the background included")
        if p.overlap_threshold <= 0:
            raise self.error("overlap_threshold must be positive")
        if p.HasField("resize_param"):
            raise self.unsupported("resize_param: boxes that are brought back to the size before a resize")
        self.classes = [c for c in range(p.num_classes) if c != p.background_label_id]
        self.sizes = self._read(p.name_size_file) if p.name_size_file else []
        self.count = 0

    def _read(self, source: str) -> list[tuple[int, int]]:
        """(height, width) of every image."""
        try:
            lines = Path(source).read_text(encoding="utf-8").split("\n")
            found = [line.rsplit(maxsplit=2)[1:] for line in lines if line.strip()]
            return [(int(height), int(width)) for height, width in found]
        except (OSError, ValueError) as e:
            raise self.error(f"name_size_file {source} is not lines of 'name height width': {e}") from None

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        for shape, width in zip(bottom_shapes, (7, 8), strict=True):
            if len(shape) != 4 or shape[:2] != (1, 1) or shape[3] != width:
                raise self.shape_error(f"wants detections (1, 1, M, 7) and true boxes (1, 1, G, 8), not {shape}")
        return [(1, 1, len(self.classes) + bottom_shapes[0][2], 5)]

    def forward(self, found: Tensor, true: Tensor) -> Tensor:
        device = found.device
        found, true = found.detach()[0, 0].cpu(), true.detach()[0, 0].cpu()
        true = true[true[:, 0] >= 0]
        for label in true[:, 1].unique().tolist():
            if label not in self.classes:
                raise self.error(f"a true box is of class {label:g}; the classes are {self.classes}")
        counted = true if self.param.detection_evaluate_param.evaluate_difficult_gt else true[true[:, 7] == 0]
        rows = [[-1.0, c, float((counted[:, 1] == c).sum()), -1.0, -1.0] for c in self.classes]
        for image in found[:, 0].unique().tolist():
            here = found[found[:, 0] == image]
            for label in here[:, 1].unique().tolist():
                if label == -1:
                    continue
                mine = here[here[:, 1] == label]
                mine = mine[mine[:, 2].argsort(descending=True, stable=True)]
                wanted = true[(true[:, 0] == image) & (true[:, 1] == label)]
                hits = self.hits(mine[:, 3:], wanted[:, 3:7], wanted[:, 7] != 0)
                rows += [[image, label, score, *hit] for score, hit in zip(mine[:, 2].tolist(), hits, strict=True)]
            if self.sizes:
                self.count = (self.count + 1) % len(self.sizes)
        return torch.tensor(np.array(rows).reshape(1, 1, -1, 5), dtype=found.dtype).to(device)

    def hits(self, found: Tensor, true: Tensor, difficult: Tensor) -> list[tuple[int, int]]:
        """(right, wrong) of each of the detections of one class, best first."""
        p = self.param.detection_evaluate_param
        if not len(true):
            return [(0, 1)] * len(found)
        if self.sizes:
            height, width = self.sizes[self.count]
            found, true = (x * x.new_tensor([width, height, width, height]) for x in (found, true))
        best, which = boxes.overlaps(found[:, None], true[None], pixels=float(bool(self.sizes))).max(1)
        taken: set[int] = set()
        hits = []
        for overlap, box in zip(best.tolist(), which.tolist(), strict=True):
            if overlap < p.overlap_threshold:
                hits.append((0, 1))
            elif difficult[box] and not p.evaluate_difficult_gt:
                hits.append((0, 0))
            else:
                hits.append((0, 1) if box in taken else (1, 0))
                taken.add(box)
        return hits
