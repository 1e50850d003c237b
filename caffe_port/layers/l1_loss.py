"""L1Loss: the sum of the sizes of all differences."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, register


@register()
class L1Loss(Layer):
    """loss = 1/d sum |a - b|, d the batch size. Bottoms: a and b of one shape, or a alone. Top: ().

    FlowNet2's options, in l1_loss_param: with `l2_per_location`, the sum, over (n, y, x), of sqrt(sum over the channels
    of (a - b)^2 + epsilon), that inner sum divided by the channels with `l2_prescale_by_channels`; `plateau`: sizes
    below it (the root of the inner sum) count as 0 and give no gradient. NaN counts as 0 and gives no gradient;
    `normalize_by_num_entries` makes d the number of those that are not NaN, divided by the channels. Both bottoms get
    gradients.

    At a difference of 0 the derivative is that of a negative one with l1_loss_param, as in FlowNet2, and 0 without, as
    in NVIDIA's Caffe, whose layer has no options, lets NaN through and is the same else. Raises for bottoms of
    different shapes. Source: l1loss_layer.cu of FlowNet2 (Ilg et al., 2017); l1_loss_layer.cpp of NVCaffe. It is
    `F.l1_loss` but for d.
    """

    origin = "FlowNet2, NVIDIA"
    bottoms: ClassVar[tuple[int, int | None]] = (1, 2)
    role = "loss"
    auto_tops = True

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape = bottom_shapes[0]
        if len(set(bottom_shapes)) > 1:
            raise self.shape_error(f"the bottoms must have one shape, but are {shape} and {bottom_shapes[1]}")
        if len(shape) < 2 and self.param.l1_loss_param.ListFields() or not shape:
            raise self.shape_error(f"the bottoms must have a batch, and channels for l1_loss_param, not {shape}")
        return [()]

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        p = self.param.l1_loss_param
        difference = a if b is None else a - b
        nan = difference.detach().isnan()
        divisor: Tensor | int = (~nan).sum() / a.shape[1] if p.normalize_by_num_entries else a.shape[0]
        difference = torch.where(nan, 0, difference)
        if p.l2_per_location:
            square = difference.square().sum(1) / (a.shape[1] if p.l2_prescale_by_channels else 1)
            if p.plateau > 0:
                square = torch.where(square.detach() < p.plateau**2, 0, square)
            return (square + p.epsilon).sqrt().sum() / divisor
        if p.plateau > 0:
            difference = torch.where(difference.detach().abs() < p.plateau, 0, difference)
        if not self.param.HasField("l1_loss_param"):
            return difference.abs().sum() / divisor
        size = torch.where(difference.detach() > 0, difference, -difference)
        return size.sum() / divisor
