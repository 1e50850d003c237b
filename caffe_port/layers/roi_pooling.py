"""ROIPooling: the maxima of bins laid over regions of a feature map."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import regions
from caffe_port.layers.base import Layer, Shape, register

LEAST = float(np.finfo(np.float32).min)


@register()
class ROIPooling(Layer):
    """For each region, `pooled_h` by `pooled_w` bins, and of each bin the maximum of its pixels.

    Bottoms: features (N, C, H, W) and regions (R, 5): image, xmin, ymin, xmax, ymax in pixels of the picture, both ends
    included; `spatial_scale` times that, rounded, is the place in the features. Top: (R, C, pooled_h, pooled_w). A
    region is at least one pixel long; bins overlap by up to a pixel and are cut at the features' border. An empty bin
    is 0. With `pad_ratio` p, of MS-CNN, a region first grows by p times its width, both ends included, to the left and
    to the right, and so its height. Of equal pixels the first in reading order gets the gradient; NaN never wins (a bin
    of NaN is -FLT_MAX). No gradient to the regions. A region in an image that is not there is a LayerError on the CPU.

    Source: roi_pooling_layer.cpp of Fast R-CNN (Girshick, 2015), and of MS-CNN (Cai et al., 2016). ONNX: MaxRoiPool.
    `torchvision.ops.roi_pool` is this but for NaN and pad_ratio.
    """

    origin = "Fast R-CNN"
    bottoms = (2, 2)
    differentiable_bottoms = (0,)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.roi_pooling_param
        if not p.pooled_h or not p.pooled_w:
            raise self.error("give pooled_h and pooled_w, both positive")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.roi_pooling_param
        count = regions.check(self, *bottom_shapes)
        return [(count, bottom_shapes[0][1], p.pooled_h, p.pooled_w)]

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        p = self.param.roi_pooling_param
        height, width = features.shape[2:]
        image, corners = regions.split(self, features, rois)
        if p.pad_ratio:
            pad = (corners[:, 2:] - corners[:, :2] + 1) * p.pad_ratio
            corners = torch.cat([corners[:, :2] - pad, corners[:, 2:] + pad], 1)
        place = regions.rounded(corners * p.spatial_scale)
        size = (place[:, 2:] - place[:, :2] + 1).clamp(min=1)
        top, bottom = regions.bins(place[:, 1], size[:, 1], p.pooled_h, height, relative=True)
        left, right = regions.bins(place[:, 0], size[:, 0], p.pooled_w, width, relative=True)
        empty = ((bottom <= top)[:, :, None] | (right <= left)[:, None, :])[:, None]
        with torch.no_grad():
            value, winner = _maxima(features, image, (top, bottom), (left, right))
        plane = image[:, None] * features.shape[1] + torch.arange(features.shape[1], device=image.device)
        picked = features.take(plane[:, :, None, None] * (height * width) + winner)
        return torch.where(empty, 0, torch.where(value > LEAST, picked, LEAST))

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.roi_pooling_param
        rois = bottoms[1]
        if len(graph.shape(rois)) > 2:
            rois = graph.node("Reshape", [rois, graph.const(np.array([-1, 5], np.int64), "shape")])
        if p.pad_ratio:
            parts = graph.const(np.array([1, 2, 2], np.int64), "parts")
            image, low, high = graph.node("Split", [rois, parts], 3, axis=1)
            long = graph.node("Add", [graph.node("Sub", [high, low]), graph.const(np.array(1, np.float32), "one")])
            pad = graph.node("Mul", [long, graph.const(np.array(p.pad_ratio, np.float32), "pad_ratio")])
            rois = graph.node("Concat", [image, graph.node("Sub", [low, pad]), graph.node("Add", [high, pad])], axis=1)
        graph.node(
            "MaxRoiPool", [bottoms[0], rois], tops, pooled_shape=[p.pooled_h, p.pooled_w], spatial_scale=p.spatial_scale
        )


def _maxima(
    x: Tensor, image: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The maximum of each window and its place in its plane, (R, C, p, q) each.

    A window is covered by four overlapping ones whose sides are powers of two, and the maxima of all of those are known
    beforehand: level (i, j) of a table holds them for 2^i by 2^j pixels from every pixel on.
    """
    n, c, h, w = x.shape
    value = torch.where(x.isnan(), -torch.inf, x).permute(0, 2, 3, 1)
    place = torch.arange(h * w, device=x.device, dtype=torch.int32).view(1, h, w, 1).expand(n, h, w, c)
    tall, wide = _levels(*rows), _levels(*columns)
    tallest, widest = torch.stack([tall.max(), wide.max()]).tolist() if len(tall) else (0, 0)
    levels = []
    for i in range(tallest + 1):
        if i:
            value, place = _better(value, place, *_moved(value, place, 1, 2 ** (i - 1)))
        across = (value, place)
        for j in range(widest + 1):
            if j:
                across = _better(*across, *_moved(*across, 2, 2 ** (j - 1)))
            levels.append(across)
    table = [torch.stack(part) for part in zip(*levels, strict=True)]
    level = tall[:, :, None] * (widest + 1) + wide[:, None, :]
    best: tuple[Tensor, Tensor] | None = None
    for y in (rows[0], rows[1] - 2**tall):
        for z in (columns[0], columns[1] - 2**wide):
            at = (level, image[:, None, None], y.clamp(0, h - 1)[:, :, None], z.clamp(0, w - 1)[:, None, :])
            found = (table[0][at], table[1][at])
            best = found if best is None else _better(*best, *found)
    assert best is not None
    return best[0].permute(0, 3, 1, 2), best[1].permute(0, 3, 1, 2)


def _levels(first: Tensor, last: Tensor) -> Tensor:
    """The exponent of the greatest power of two that is not longer than each window."""
    return torch.frexp((last - first).clamp(min=1).double()).exponent.long() - 1


def _moved(value: Tensor, place: Tensor, axis: int, by: int) -> tuple[Tensor, Tensor]:
    """Both `by` pixels further along the axis; past the end the last, which no window looks up."""
    size = value.shape[axis]
    index = (torch.arange(size, device=value.device) + by).clamp(max=size - 1)
    return value.index_select(axis, index), place.index_select(axis, index)


def _better(value: Tensor, place: Tensor, other: Tensor, other_place: Tensor) -> tuple[Tensor, Tensor]:
    """The greater values; of equal ones the one that comes first."""
    wins = (other > value) | ((other == value) & (other_place < place))
    return torch.where(wins, other, value), torch.where(wins, other_place, place)
