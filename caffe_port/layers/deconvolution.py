"""Deconvolution: the transposed convolution, Caffe's learnable upsampling."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers.base import register
from caffe_port.layers.conv_geometry import padded
from caffe_port.layers.convolution import Convolution

DECONV = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@register()
class Deconvolution(Convolution):
    """What Convolution's gradient does: every bottom pixel adds its value times the kernel to the top.

    As Convolution, with bottom and top in each other's place: sizes are stride * (size - 1) + extent - 2 pad; blobs are
    weight (C, num_output / group, kernel...) and bias (num_output). Raises as Convolution does.
    Source: src/caffe/layers/deconv_layer.cpp. It is torch's conv_transpose with output_padding 0, but for `axis`.
    """

    reverse: ClassVar[bool] = True

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        g = self.geometry
        conv, group = DECONV[len(g.kernel) or 1], self.param.convolution_param.group
        top = conv(x, weight, bias, g.stride or 1, g.common or 0, 0, group, g.dilation or 1)
        return padded(top, [-side for side in g.beyond((0,) * len(g.kernel))])
