"""What the layers that pool over regions share: rows (image, xmin, ymin, xmax, ymax), and bins laid over them.

Sources: roi_pooling_layer.cpp of Fast R-CNN, psroi_pooling_layer.cu of R-FCN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape


def check(layer: Layer, features: Shape, regions: Shape) -> int:
    """The number of regions; ShapeError unless the bottoms are (N, C, H, W) and (R, 5)."""
    if len(features) != 4 or not features[2] * features[3]:
        raise layer.shape_error(f"features must have 4 axes (num, channels, height, width), not {features}")
    if len(regions) < 2 or regions[1] != 5 or any(d != 1 for d in regions[2:]):
        raise layer.shape_error(f"regions must be (R, 5): image, xmin, ymin, xmax, ymax; not {regions}")
    return regions[0]


def split(layer: Layer, features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Which image each region lies in, and its corners (R, 4). On the CPU an image that is not there is an error."""
    regions = regions.detach().flatten(1)
    image = regions[:, 0].long()
    if image.device.type == "cpu" and not torch.compiler.is_compiling():
        bad = (image < 0) | (image >= features.shape[0])
        if bad.any():
            row = int(bad.nonzero()[0])
            raise layer.error(
                f"region {row} lies in image {regions[row, 0].item():g}; there are {features.shape[0]}, from 0"
            )
    return image, regions[:, 1:]


def rounded(x: Tensor) -> Tensor:
    """C's round: halves away from zero, where torch's go to the even neighbour."""
    whole = x.trunc()
    return whole + ((x - whole).abs() >= 0.5) * x.sign()


def bins(start: Tensor, size: Tensor, count: int, length: int, relative: bool) -> tuple[Tensor, Tensor]:
    """First pixel (included) and last (excluded) of `count` equal bins a region along an axis of `length`: (R, count).

    `relative`: whether floor and ceil are taken from the region's start on, and not from the image's.
    """
    step = (size / count)[:, None]
    edges = torch.arange(count + 1, device=start.device, dtype=start.dtype) * step
    first, last = edges[:, :-1], edges[:, 1:]
    offset = start[:, None]
    if relative:
        first, last = first.floor() + offset, last.ceil() + offset
    else:
        first, last = (first + offset).floor(), (last + offset).ceil()
    return first.clamp(0, length).long(), last.clamp(0, length).long()


def mean_of_bins(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """out[r, c, p, q] = sum_hw rows[r, p, h] x[c, p, q, h, w] columns[r, q, w]; x may have 1 in place of p and q."""
    c, p, q = x.shape[0], rows.shape[1], columns.shape[1]
    if x.shape[1] == 1:
        tall = torch.einsum("chw,rqw->rcqh", x[:, 0, 0], columns)
        return torch.einsum("rcqh,rph->rcpq", tall, rows)
    narrow = torch.einsum("cpqhw,rqw->rcpqh", x, columns)
    return torch.einsum("rcpqh,rph->rcpq", narrow, rows).reshape(-1, c, p, q)


def by_image(x: Tensor, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`mean_of_bins` for regions of several images: x (N, C, 1 or p, 1 or q, H, W)."""
    if x.shape[0] == 1:
        return mean_of_bins(x[0], rows, columns)
    out = x.new_zeros(len(image), x.shape[1], rows.shape[1], columns.shape[1])
    for n in range(x.shape[0]):
        mine = (image == n).nonzero().flatten()
        out = out.index_copy(0, mine, mean_of_bins(x[n], rows[mine], columns[mine]))
    return out
