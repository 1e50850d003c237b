"""ConvolutionDepthwise: every channel convolved by itself."""

from __future__ import annotations

from caffe_port.layers.base import Shape, register
from caffe_port.layers.convolution import Convolution


@register()
class ConvolutionDepthwise(Convolution):
    """Convolution with one group a channel, whatever `group` says: y[c] = bias[c] + weight[c] * x[c].

    Bottom (N, C, H, W); top (N, C, h, w). Blobs: weight (C, 1, kernel_h, kernel_w), bias (C) unless bias_term is false.
    num_output may be left out; raises where it is not C, which its Caffe never reads, and for more than one bottom.

    Source: conv_dw_layer.cpp of BVLC Caffe's pull request 5665.
    """

    origin = "BVLC/caffe#5665"
    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p, shape = self.param.convolution_param, bottom_shapes[0]
        if len(shape) != 4:
            raise self.shape_error(f"the bottom must have 4 axes (num, channels, height, width), not {shape}")
        if p.num_output and p.num_output != shape[1]:
            raise self.error(f"num_output {p.num_output} must be the number of channels, {shape[1]}, or be left out")
        # The layer's own copy of its definition: from here on it is a Convolution that says all this.
        p.num_output = p.group = shape[1]
        p.axis = 1
        super().setup(bottom_shapes)
