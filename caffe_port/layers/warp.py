"""Warp: every pixel fetched from where the flow points, as PWC-Net does it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from caffe_port.layers.base import register
from caffe_port.layers.flow_warp import FlowWarp


@register()
class Warp(FlowWarp):
    """As FlowWarp, but places outside, where nothing is shown, begin right behind the last row and column; and at whole
    pixels the derivative to the flow is the mean of those to the left and to the right (up and down), 0 where the image
    ends.

    LiteFlowNet has another layer of this name, whose second bottom is the places themselves; its nets make them with a
    layer Grid, which is not known here. Source: warp_layer.cu of PWC-Net (Sun et al., 2018).
    """

    origin = "PWC-Net"
    beyond: ClassVar[bool] = False

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        top = self.fetched(image, flow, torch.floor)
        if not flow.requires_grad:
            return top
        return (top + self.fetched(image, flow, lambda place: place.ceil() - 1)) / 2
