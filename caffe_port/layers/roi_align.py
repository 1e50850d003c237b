"""ROIAlign: means of bilinear samples in bins over regions, nowhere rounded to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import regions
from caffe_port.layers.base import Layer, Shape, register


@register()
class ROIAlign(Layer):
    """For each region `pooled_h` by `pooled_w` bins, and of each bin the mean of samples spread evenly over it.

    Bottoms: features (N, C, H, W) and regions (R, 5): image, xmin, ymin, xmax, ymax in pixels of the picture. Top:
    (R, C, pooled_h, pooled_w). A region runs from xmin to xmax times `spatial_scale`, and is at least one pixel of the
    features long. A bin has ceil(region / bins) samples along each axis. A sample is bilinear between pixel centres at
    whole numbers; up to one pixel outside the features it is the border's value, further out 0. No gradient to the
    regions. A region in an image that is not there is a LayerError on the CPU.

    Source: He et al., Mask R-CNN, 2017, section 3, as Caffe2's RoIAlign computes it (sampling_ratio 0). Caffe's forks
    disagree: others sample each bin once, or take maxima, or shift by half a pixel. ONNX: RoiAlign,
    "output_half_pixel".
    """

    origin = "Mask R-CNN"
    bottoms = (2, 2)
    differentiable_bottoms = (0,)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.roi_align_param
        if not p.pooled_h or not p.pooled_w:
            raise self.error("give pooled_h and pooled_w, both positive")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.roi_align_param
        count = regions.check(self, *bottom_shapes)
        return [(count, bottom_shapes[0][1], p.pooled_h, p.pooled_w)]

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        p = self.param.roi_align_param
        image, corners = regions.split(self, features, rois)
        place = corners * p.spatial_scale
        size = (place[:, 2:] - place[:, :2]).clamp(min=1)
        rows = _weights(place[:, 1], size[:, 1], p.pooled_h, features.shape[2]).to(features.dtype)
        columns = _weights(place[:, 0], size[:, 0], p.pooled_w, features.shape[3]).to(features.dtype)
        return regions.by_image(features[:, :, None, None], image, rows, columns)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.roi_align_param

        def ints(*values: int) -> str:
            return graph.const(np.array(values, np.int64), "ints")

        rois = graph.node("Reshape", [bottoms[1], ints(-1, 5)])
        corners = graph.node("Slice", [rois, ints(1), ints(5), ints(1)])
        column = graph.node("Gather", [rois, graph.const(np.array(0, np.int64), "column")], axis=1)
        image = graph.node("Cast", [column], to=7)
        graph.node(
            "RoiAlign",
            [bottoms[0], corners, image],
            tops,
            mode="avg",
            sampling_ratio=0,
            spatial_scale=p.spatial_scale,
            output_height=p.pooled_h,
            output_width=p.pooled_w,
            coordinate_transformation_mode="output_half_pixel",
        )


def _weights(start: Tensor, size: Tensor, count: int, length: int) -> Tensor:
    """(R, count, length): how much each pixel along an axis counts in each bin. Both axes together are the mean of the
    bilinear samples, since these are products of one factor an axis."""
    step = size / count
    samples = step.ceil()
    most = int(samples.max()) if len(samples) else 0
    number = torch.arange(most, device=start.device)
    share = (number + 0.5) / samples[:, None]  # of the bin's length: (R, samples)
    bin_start = start[:, None] + torch.arange(count, device=start.device) * step[:, None]
    at = bin_start[:, :, None] + (share * step[:, None])[:, None]  # (R, count, samples)
    counts = (number < samples[:, None])[:, None] & (at >= -1) & (at <= length)
    pixel = torch.arange(length, device=start.device)
    near = (1 - (at.clamp(0, length - 1)[..., None] - pixel).abs()).clamp(min=0)
    return (near * counts[..., None]).sum(2) / samples.clamp(min=1)[:, None, None]
