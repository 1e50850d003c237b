"""Deconvolution: the adjoint of Convolution, 0 to 3 spatial axes; bilinear upsampling."""

import itertools

import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make, run

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'


def spread(x, weight, bias, stride, pad, dilation, group):
    """The definition: every pixel adds its value times the kernel to the top. x: (N, C, spatial...)."""
    rank = x.ndim - 2
    stride, pad, dilation = ([v] * rank if isinstance(v, int) else v for v in (stride, pad, dilation))
    kernel = weight.shape[2:]
    full = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    outs, ins = weight.shape[1], len(weight) // group
    y = np.zeros((len(x), outs * group, *full))
    for offset in itertools.product(*map(range, kernel)):
        axes = zip(offset, x.shape[2:], stride, dilation, strict=True)
        where = tuple(slice(o * d, o * d + (n - 1) * s + 1, s) for o, n, s, d in axes)
        for g in range(group):
            w = weight[(slice(g * ins, (g + 1) * ins), slice(None), *offset)]
            part = np.einsum("io,ni...->no...", w, x[:, g * ins : (g + 1) * ins])
            y[(slice(None), slice(g * outs, (g + 1) * outs), *where)] += part
    pad = [p if isinstance(p, tuple) else (p, p) for p in pad]
    y = y[(slice(None), slice(None), *(slice(p, n - a) for (p, a), n in zip(pad, full, strict=True)))]
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def reference(stride=1, pad=0, dilation=1, group=1, axis=1):
    def tops(bottoms, blobs):
        bias = blobs[1] if len(blobs) > 1 else None
        found = []
        for x in bottoms:
            y = spread(x.reshape(-1, *x.shape[axis:]), blobs[0], bias, stride, pad, dilation, group)
            found.append(y.reshape(*x.shape[:axis], *y.shape[1:]))
        return found

    return tops


def case(name, options, bottoms, found, fillers=FILLERS, **more):
    return Case(name, f'type: "Deconvolution" convolution_param {{ {options} {fillers} }}', bottoms, found, **more)


PLANE = [(2, 4, 3, 5)]
BILINEAR = 'weight_filler { type: "bilinear" }'
CASES = [
    case("k3", "num_output: 4 kernel_size: 3", PLANE, reference()),
    case("k3 s2 p1", "num_output: 4 kernel_size: 3 stride: 2 pad: 1", PLANE, reference(2, 1)),
    case("stride over kernel", "num_output: 4 kernel_size: 2 stride: 3", PLANE, reference(3)),
    case("1x1", "num_output: 5 kernel_size: 1", PLANE, reference()),
    case("dilated", "num_output: 4 kernel_size: 3 pad: 1 dilation: 2", PLANE, reference(1, 1, 2),
         opencv="it ignores dilation here"),
    case("group", "num_output: 4 kernel_size: 3 group: 2", PLANE, reference(group=2)),
    case("no bias", "num_output: 4 kernel_size: 2 bias_term: false", PLANE, reference()),
    case("h and w", "num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", PLANE,
         reference([2, 1], [1, 0])),
    case("pad_b pad_l", "num_output: 4 kernel_size: 3 stride: 2 pad_b: 1 pad_l: 2", PLANE,
         reference(2, [(0, 1), (2, 0)]), opencv="it drops them"),
    case("bilinear", "num_output: 4 group: 4 kernel_size: 4 stride: 2 pad: 1 bias_term: false", PLANE,
         reference(2, 1, group=4), fillers=BILINEAR),
    case("1d", "num_output: 4 kernel_size: 3 stride: 2 pad: 1", [(2, 3, 5)], reference(2, 1), opencv="it wants planes"),
    case("3d", "num_output: 3 kernel_size: 2 stride: 2", [(2, 2, 2, 3, 4)], reference(2), opencv="it wants planes"),
    case("0d", "num_output: 4 kernel_size: 1", [(3, 6)], reference(), opencv="it wants planes"),
    case("axis 2", "num_output: 4 kernel_size: 3 axis: 2", [(2, 3, 2, 3, 4)], reference(axis=2),
         opencv="its reader ignores axis"),
    case("two bottoms", "num_output: 4 kernel_size: 3", [(2, 3, 4, 3), (2, 3, 4, 3)], reference(), tops=2),
]
test_cases = run(CASES)


def test_bilinear_keeps_a_constant_inside():
    layer = make(next(case for case in CASES if case.name == "bilinear")).layer("l")
    y = layer(layer.weight.new_ones(1, 4, 3, 5)).detach().numpy()
    np.testing.assert_allclose(y[:, :, 1:-1, 1:-1], 1, rtol=1e-6)


@pytest.mark.parametrize(("options", "message"), [
    ("num_output: 4 kernel_size: 3 pad: 9", "too small"),
    ("num_output: 6 kernel_size: 3 group: 3", "group 3 must divide"),
])
def test_wrong_options(options, message):
    with pytest.raises(LayerError, match=f"layer 'l' .*{message}"):
        make(Case("l", f'type: "Deconvolution" convolution_param {{ {options} }}', PLANE))


def test_multiply_adds():
    layer = make(case("l", "num_output: 4 kernel_size: 3 group: 2", PLANE, None)).layer("l")
    assert layer.macs([(2, 4, 3, 5)], [(2, 4, 5, 7)]) == 2 * 4 * 3 * 5 * 2 * 9
