"""BoxAnnotatorOHEM: only the regions with the greatest loss teach."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


@register()
class BoxAnnotatorOHEM(Layer):
    """Labels and box weights of the `roi_per_img` regions of each image whose loss is greatest; others teach nothing.

    Bottoms: regions (N, 5, H, W), channel 0 the image; losses (N, 1, H, W); labels (N, 1, H, W); box weights (N, C, H,
    W); axes at the end may be missing. Tops: the labels, `ignore_label` for the others (N, 1, H, W), and the weights, 0
    for the others (N, C, H, W). Equal losses: the lower index first. No gradient. Raises where roi_per_img is missing,
    and for shapes that do not fit.

    Source: box_annotator_ohem_layer.cpp and .cu of R-FCN's Caffe (Dai et al., 2016; Shrivastava et al., Training
    region-based object detectors with online hard example mining, 2016), which has no CPU form.
    """

    origin = "R-FCN"
    bottoms = (4, 4)
    tops = (2, 2)
    differentiable_bottoms = ()
    role = "metric"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        if not self.param.box_annotator_ohem_param.roi_per_img:
            raise self.error("give roi_per_img")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        regions, losses, labels, weights = ((*shape, 1, 1, 1)[: max(4, len(shape))] for shape in bottom_shapes)
        one = (regions[0], 1, *regions[2:])
        if len(regions) != 4 or regions[1] != 5 or losses != one or labels != one:
            raise self.shape_error(
                f"regions (N, 5, H, W) want losses and labels (N, 1, H, W); they are {bottom_shapes[:3]}"
            )
        if len(weights) != 4 or (weights[0], *weights[2:]) != (regions[0], *regions[2:]):
            raise self.shape_error(f"box weights must be (N, C, H, W) for regions {regions}, not {bottom_shapes[3]}")
        return [one, weights]

    def forward(self, regions: Tensor, losses: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        p = self.param.box_annotator_ohem_param
        one, full = self.top_shapes([tuple(x.shape) for x in (regions, losses, labels, weights)])
        image = regions.detach().reshape(one[0], 5, *one[2:])[:, :1].flatten()
        order = losses.detach().flatten().argsort(descending=True, stable=True)
        order = order[image[order].argsort(stable=True)]  # by image, then by falling loss
        sorted_image = image[order]
        # How many of its image come before a region: its place less the place where its image begins.
        before = torch.arange(len(order), device=image.device) - torch.searchsorted(sorted_image, sorted_image)
        chosen = torch.zeros_like(image, dtype=torch.bool).index_copy(0, order, before < p.roi_per_img).reshape(one)
        kept = torch.where(chosen, labels.detach().reshape(one), p.ignore_label)
        return kept, torch.where(chosen, weights.detach().reshape(full), 0)
