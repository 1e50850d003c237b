"""Im2col: 1 to 3 spatial axes, pad, stride, dilation, leading axes."""

import itertools

import numpy as np
import pytest

from caffe_port.errors import LayerError, ShapeError
from tests.layers.runner import Case, make, run

OPENCV = "it has no Im2col"


def reference(kernel, stride, pad, dilation, axis=1):
    def tops(bottoms, blobs):
        x = bottoms[0]
        lead, channels = x.shape[:axis], x.shape[axis]
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        after = [max(p, e - n - p) for n, p, e in zip(x.shape[axis + 1 :], pad, extents, strict=True)]
        x = np.pad(x.reshape(-1, *x.shape[axis:]), [(0, 0), (0, 0), *zip(pad, after, strict=True)])
        sizes = [(n - e) // s + 1 for n, e, s in zip(x.shape[2:], extents, stride, strict=True)]
        columns = np.zeros((len(x), channels, *kernel, *sizes))
        for offset in itertools.product(*map(range, kernel)):
            axes = zip(offset, sizes, stride, dilation, strict=True)
            where = tuple(slice(o * d, o * d + (n - 1) * s + 1, s) for o, n, s, d in axes)
            columns[(slice(None), slice(None), *offset)] = x[(slice(None), slice(None), *where)]
        return [columns.reshape(*lead, -1, *sizes)]

    return tops


def case(name, options, bottom, found):
    return Case(name, f'type: "Im2col" convolution_param {{ {options} }}', [bottom], found, opencv=OPENCV)


CASES = [
    case("k3 s2 p1", "kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 5), reference([3, 3], [2, 2], [1, 1], [1, 1])),
    case("k1", "kernel_size: 1", (2, 3, 4, 5), reference([1, 1], [1, 1], [0, 0], [1, 1])),
    case("h and w, dilated", "kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 dilation: 2 dilation: 3", (2, 3, 6, 7),
         reference([3, 2], [1, 1], [2, 1], [2, 3])),
    case("kernel over the bottom", "kernel_size: 4 stride: 2 pad_h: 0 pad_w: 1", (2, 1, 3, 4),
         reference([4, 4], [2, 2], [0, 1], [1, 1])),
    case("1d", "kernel_size: 3 stride: 2", (2, 3, 8), reference([3], [2], [0], [1])),
    case("3d", "kernel_size: 2 force_nd_im2col: true", (2, 3, 4, 3, 5), reference([2] * 3, [1] * 3, [0] * 3, [1] * 3)),
    case("axis 2", "kernel_size: 2 axis: 2", (2, 3, 4, 5, 3), reference([2, 2], [1, 1], [0, 0], [1, 1], axis=2)),
    case("axis 0", "kernel_size: 2 axis: 0", (4, 5, 3), reference([2, 2], [1, 1], [0, 0], [1, 1], axis=0)),
]
test_cases = run(CASES)


def test_a_spatial_axis_is_needed():
    with pytest.raises(ShapeError, match="no spatial axis"):
        make(case("l", "kernel_size: 1", (2, 3), None))


def test_the_kernel_must_fit():
    with pytest.raises(LayerError, match="too small"):
        make(case("l", "kernel_size: 9", (2, 3, 5, 5), None))
