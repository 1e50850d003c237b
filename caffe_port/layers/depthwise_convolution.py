"""DepthwiseConvolution: a fork's faster kernels for Convolution."""

from __future__ import annotations

from caffe_port.layers.base import register
from caffe_port.layers.convolution import Convolution


@register()
class DepthwiseConvolution(Convolution):
    """Convolution, all of it: group is what the definition says (num_output of it, in every net that is meant so).

    Source: depthwise_conv_layer.cpp of yonghenglh6/DepthwiseConvolution, which computes what Convolution does, and for
    which a Convolution's definition and weights are used by changing the type.
    """

    origin = "yonghenglh6/DepthwiseConvolution"
