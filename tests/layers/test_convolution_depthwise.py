"""ConvolutionDepthwise: every channel by itself, whatever group and num_output say; the same numbers as Convolution."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

X = (1, 3, 5, 4)
FILL = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def reference(stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    """Summed offset by offset, as the definition says."""

    def tops(bottoms, blobs):
        x = np.pad(bottoms[0], ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
        weight = blobs[0]
        high, wide = (
            (n - d * (k - 1) - 1) // s + 1
            for n, d, k, s in zip(x.shape[2:], dilation, weight.shape[2:], stride, strict=True)
        )
        y = np.zeros((*x.shape[:2], high, wide)) + (blobs[1][:, None, None] if len(blobs) > 1 else 0)
        for i, j in np.ndindex(*weight.shape[2:]):
            rows = slice(i * dilation[0], i * dilation[0] + (high - 1) * stride[0] + 1, stride[0])
            columns = slice(j * dilation[1], j * dilation[1] + (wide - 1) * stride[1] + 1, stride[1])
            y += weight[:, 0, i, j][:, None, None] * x[:, :, rows, columns]
        return [y]

    return tops


def case(name, options, found, **more):
    text = f'type: "ConvolutionDepthwise" convolution_param {{ {FILL} {options} }}'
    return Case(name, text, [X], found, opencv="it has no layer of this name", **more)


CASES = [
    case("3x3", "kernel_size: 3", reference()),
    case("no bias, num_output", "kernel_size: 3 num_output: 3 bias_term: false", reference()),
    case("group does not count", "kernel_size: 2 group: 1", reference()),
    case("stride, pad", "kernel_size: 3 stride: 2 pad: 1", reference((2, 2), (1, 1))),
    case("each side", "kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0", reference((1, 2), (1, 0))),
    case("dilation", "kernel_size: 2 dilation: 2 dilation: 3", reference(dilation=(2, 3))),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "ConvolutionDepthwise" convolution_param { kernel_size: 3 num_output: 6 }', [X], 1, "must be the number"),
    ('type: "ConvolutionDepthwise" convolution_param { kernel_size: 3 }', [(2, 3)], 1, "must have 4 axes"),
    ('type: "ConvolutionDepthwise" convolution_param { kernel_size: 3 }', [X, X], 2, "takes 1 bottom"),
    ('type: "ConvolutionDepthwise"', [X], 1, "kernel_size is given 0 times"),
])


def test_as_convolution():
    options = f"convolution_param {{ num_output: 3 group: 3 kernel_size: 3 {FILL} }}"
    one, other = (make(Case("l", f'type: "{t}" {options}', [X])) for t in ("ConvolutionDepthwise", "Convolution"))
    x = torch.randn(X)
    assert one.layer("l").weight.shape == (3, 1, 3, 3)
    assert torch.equal(one.layer("l")(x), other.layer("l")(x))
    assert one.layer("l").macs([X], [(1, 3, 3, 2)]) == other.layer("l").macs([X], [(1, 3, 3, 2)]) == 3 * 3 * 2 * 9
