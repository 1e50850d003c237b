"""Proposal: the regions that a region proposal network suggests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import boxes
from caffe_port.layers.base import Layer, Shape, register


@register()
class Proposal(Layer):
    """Anchors moved by the predicted offsets, cut to the image; the best of them after suppression.

    Bottoms: scores (1, 2 A, h, w), background before object; offsets (1, 4 A, h, w); image (1, 3): height, width and
    the scale it was brought to. Tops: regions (R, 5): 0, xmin, ymin, xmax, ymax in pixels, both ends included; and the
    scores (R,) where a second top is named, best first. A anchors: for each `ratio` r the square of `base_size` made
    sqrt(1/r) wide and sqrt(r) high, rounded, times each `scale`; laid on every `feat_stride` pixels. Boxes shorter than
    `min_size` times the image's scale get score 0 and so come last. Then the `pre_nms_topn` best, suppression at
    `nms_thresh`, the `post_nms_topn` best of what is left.

    R depends on the values; the shape rule gives `post_nms_topn`, the most there can be. No gradient. Equal scores: the
    first in order of row, column, anchor. Raises for more than one image, ratio or scale not given, and shapes that do
    not fit.
    Source: proposal_layer.cpp of PVANet's and mini-caffe, a C++ form of rpn/proposal_layer.py of py-faster-rcnn (Ren et
    al., 2015), which leaves boxes that are too small out. That Python layer itself runs as a Python layer.
    """

    origin = "Faster R-CNN (the C++ form of PVANet and mini-caffe)"
    bottoms = (3, 3)
    tops = (1, 2)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.proposal_param
        if not p.ratio or not p.scale or min(*p.ratio, *p.scale) <= 0:
            raise self.error("give at least one ratio and one scale, all positive")
        if not p.feat_stride or not p.base_size or not p.post_nms_topn:
            raise self.error("feat_stride, base_size and post_nms_topn must be positive")
        self.anchors = self.base_anchors()

    def base_anchors(self) -> np.ndarray:
        """(A, 4): the corners of the anchors of the first pixel."""
        p = self.param.proposal_param
        ratio, scale = np.array(p.ratio, np.float64)[:, None], np.array(p.scale, np.float64)
        width = np.floor(np.sqrt(p.base_size**2 / ratio) + 0.5)
        height = np.floor(width * ratio + 0.5)
        half = np.stack([width * scale - 1, height * scale - 1], -1).reshape(-1, 2) / 2
        centre = (p.base_size - 1) / 2
        return np.concatenate([centre - half, centre + half], 1)

    def all_anchors(self, height: int, width: int) -> list[np.ndarray]:
        """(height * width * A, 4)"""
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        shift = np.stack([x, y, x, y], -1)[:, :, None] * self.param.proposal_param.feat_stride
        return [(shift + self.anchors).reshape(-1, 4)]

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        scores, offsets, image = bottom_shapes
        count = len(self.anchors)
        if len(scores) != 4 or scores[0] != 1:
            raise self.shape_error(f"scores must be those of one image, (1, channels, height, width), not {scores}")
        if scores[1] != 2 * count or offsets != (1, 4 * count, *scores[2:]):
            raise self.shape_error(
                f"{count} anchors want scores of {2 * count} channels and offsets of {4 * count}, "
                f"not {scores} and {offsets}"
            )
        if len(image) < 2 or image[0] != 1 or image[1] < 3:
            raise self.shape_error(f"the image must be (1, 3): height, width, scale; not {image}")
        most = self.param.proposal_param.post_nms_topn
        return [(most, 5), (most,)][: max(1, len(self.param.top))]

    def forward(self, scores: Tensor, offsets: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        p = self.param.proposal_param
        with torch.no_grad():
            height, width = scores.shape[2:]
            (anchors,) = self.made_once(scores, self.all_anchors, height, width)
            moves = offsets.reshape(-1, 4, height, width).permute(2, 3, 0, 1).reshape(-1, 4)
            info = image.flatten()
            size = anchors[:, 2:] - anchors[:, :2] + 1
            centre = anchors[:, :2] + size / 2 + moves[:, :2] * size
            half = moves[:, 2:].exp() * size / 2
            limit = info[:2].flip(0) - 1
            low, high = ((corner.minimum(limit)).clamp(min=0) for corner in (centre - half, centre + half))
            found = torch.cat([low, high], 1)
            fits = (high - low + 1 >= p.min_size * info[2]).all(1)
            wanted = scores[0, len(self.anchors) :].permute(1, 2, 0).flatten() * fits
            ranked, order = wanted.sort(dim=0, descending=True, stable=True)
            found, ranked = found[order[: p.pre_nms_topn]], ranked[: p.pre_nms_topn]
            every = torch.ones_like(ranked, dtype=torch.bool)
            keep = boxes.suppress(found[None], every[None], p.nms_thresh, pixels=1, most=p.post_nms_topn)[0]
            rois = F.pad(found[keep], (1, 0))
        return (rois, ranked[keep])[: max(1, len(self.param.top))]

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, (_, _, height, width) = self.param.proposal_param, graph.shape(bottoms[0])
        count, places = len(self.anchors), height * width * len(self.anchors)

        def ints(*values: int) -> str:
            return graph.const(np.array(values, np.int64), "ints")

        def number(*values: float) -> str:
            return graph.const(np.array(values, np.float32), "number")

        (anchors,) = self.all_anchors(height, width)
        size = anchors[:, 2:] - anchors[:, :2] + 1
        middle, whole, halves = (graph.const(a, "anchors") for a in (anchors[:, :2] + size / 2, size, size / 2))
        by_anchor = graph.node("Reshape", [bottoms[1], ints(count, 4, height, width)])
        moves = graph.node("Reshape", [graph.node("Transpose", [by_anchor], perm=[2, 3, 0, 1]), ints(places, 4)])
        move, grow = graph.node("Split", [moves, ints(2, 2)], 2, axis=1)
        centre = graph.node("Add", [graph.node("Mul", [move, whole]), middle])
        half = graph.node("Mul", [graph.node("Exp", [grow]), halves])
        info = graph.node("Reshape", [bottoms[2], ints(-1)])
        limit = graph.node("Sub", [graph.node("Gather", [info, ints(1, 0)]), number(1)])
        low, high = (
            graph.node("Max", [graph.node("Min", [graph.node(op, [centre, half]), limit]), number(0)])
            for op in ("Sub", "Add")
        )
        sides = graph.node("Add", [graph.node("Sub", [high, low]), number(1)])
        least = graph.node("Mul", [graph.node("Gather", [info, ints(2)]), number(p.min_size)])
        shortest = graph.node("ReduceMin", [sides], axes=[1], keepdims=0)
        fits = graph.node("Cast", [graph.node("GreaterOrEqual", [shortest, least])], to=1)
        objects = graph.node("Slice", [bottoms[0], ints(count), ints(2 * count), ints(1)])
        flat = graph.node("Reshape", [graph.node("Transpose", [objects], perm=[2, 3, 0, 1]), ints(places)])
        scores = graph.node("Mul", [flat, fits])
        found = graph.node("Concat", [low, high], axis=1)
        if p.pre_nms_topn < places:
            scores, best = graph.node("TopK", [scores, ints(p.pre_nms_topn)], 2, axis=0)
            found = graph.node("Gather", [found, best], axis=0)
        # One pixel longer, boxes span what they count as here
        longer = graph.node("Unsqueeze", [graph.node("Add", [found, number(0, 0, 1, 1)]), ints(0)])
        ranked = graph.node("Unsqueeze", [scores, ints(0, 1)])
        kept = graph.node("NonMaxSuppression", [longer, ranked, ints(p.post_nms_topn), number(min(p.nms_thresh, 1))])
        chosen = graph.node("Gather", [kept, graph.const(np.array(2, np.int64), "column")], axis=1)
        corners = graph.node("Gather", [found, chosen], axis=0)
        graph.node("Pad", [corners, ints(0, 1, 0, 0)], tops[:1])
        if len(tops) > 1:
            graph.node("Gather", [scores, chosen], tops[1:], axis=0)
