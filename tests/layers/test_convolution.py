"""Convolution: 0 to 3 spatial axes, every option both ways it can be given, groups, leading axes, several bottoms."""

import itertools

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError, ShapeError, UnsupportedError
from tests.layers.runner import Case, make, run

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'


def correlate(x, weight, bias, stride, pad, dilation, group):
    """The definition: for every offset of the kernel, weights times the pixels that it sees. x: (N, C, spatial...)."""
    rank = x.ndim - 2
    stride, pad, dilation = ([v] * rank if isinstance(v, int) else v for v in (stride, pad, dilation))
    kernel = weight.shape[2:]
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if pad and isinstance(pad[0], tuple):  # before and behind
        x = np.pad(x, [(0, 0), (0, 0), *pad])
    else:
        after = [max(p, e - n - p) for n, p, e in zip(x.shape[2:], pad, extents, strict=True)]
        x = np.pad(x, [(0, 0), (0, 0), *zip(pad, after, strict=True)])
    sizes = [(n - e) // s + 1 for n, e, s in zip(x.shape[2:], extents, stride, strict=True)]
    y = np.zeros((len(x), len(weight), *sizes))
    outs, ins = len(weight) // group, weight.shape[1]
    for offset in itertools.product(*map(range, kernel)):
        axes = zip(offset, sizes, stride, dilation, strict=True)
        seen = x[(slice(None), slice(None), *(slice(o * d, o * d + (n - 1) * s + 1, s) for o, n, s, d in axes))]
        for g in range(group):
            w = weight[(slice(g * outs, (g + 1) * outs), slice(None), *offset)]
            y[:, g * outs : (g + 1) * outs] += np.einsum("oi,ni...->no...", w, seen[:, g * ins : (g + 1) * ins])
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def reference(stride=1, pad=0, dilation=1, group=1, axis=1):
    def tops(bottoms, blobs):
        bias = blobs[1] if len(blobs) > 1 else None
        found = []
        for x in bottoms:
            y = correlate(x.reshape(-1, *x.shape[axis:]), blobs[0], bias, stride, pad, dilation, group)
            found.append(y.reshape(*x.shape[:axis], *y.shape[1:]))
        return found

    return tops


def case(name, options, bottoms, found, **more):
    return Case(name, f'type: "Convolution" convolution_param {{ {options} {FILLERS} }}', bottoms, found, **more)


PLANE = [(2, 4, 6, 5)]
CASES = [
    case("k3", "num_output: 4 kernel_size: 3", PLANE, reference()),
    case("k3 s2 p1", "num_output: 4 kernel_size: 3 stride: 2 pad: 1", PLANE, reference(2, 1)),
    case("1x1", "num_output: 5 kernel_size: 1", PLANE, reference()),
    case("1x1 s2", "num_output: 5 kernel_size: 1 stride: 2", PLANE, reference(2)),
    case("dilated", "num_output: 4 kernel_size: 3 pad: 2 dilation: 2", PLANE, reference(1, 2, 2)),
    case("hole", "num_output: 4 kernel_size: 2 hole: 2", PLANE, reference(dilation=2), opencv="it does not know hole"),
    case("hole_h", "num_output: 4 kernel_size: 2 hole_h: 3 hole_w: 1", PLANE, reference(dilation=[3, 1]),
         opencv="it does not know hole"),
    case("dilation_h", "num_output: 4 kernel_size: 2 dilation_h: 1 dilation_w: 2", PLANE, reference(dilation=[1, 2]),
         opencv="it drops them"),
    case("group", "num_output: 4 kernel_size: 3 group: 2", PLANE, reference(group=2)),
    case("depthwise", "num_output: 4 kernel_size: 3 group: 4 pad: 1", PLANE, reference(pad=1, group=4)),
    case("depthwise, two each", "num_output: 8 kernel_size: 2 group: 4", PLANE, reference(group=4)),
    case("no bias", "num_output: 4 kernel_size: 2 bias_term: false", PLANE, reference()),
    case("pad over kernel", "num_output: 3 kernel_size: 2 pad: 3 stride: 3", PLANE, reference(3, 3)),
    case("h and w", "num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", PLANE,
         reference([2, 1], [1, 0])),
    case("once per axis",
         "num_output: 4 kernel_size: 3 kernel_size: 2 stride: 2 stride: 1 pad: 0 pad: 1 dilation: 1 dilation: 3", PLANE,
         reference([2, 1], [0, 1], [1, 3])),
    case("only pad_h", "num_output: 4 kernel_size: 3 pad_h: 2", PLANE, reference(1, [2, 0]),
         opencv="it drops a lone pad_h"),
    case("pad_t pad_l", "num_output: 4 kernel_size: 3 stride: 2 pad_t: 2 pad_l: 1", PLANE,
         reference(2, [(2, 0), (1, 0)]), opencv="it drops them"),
    case("four pads", "num_output: 4 kernel_size: 2 dilation: 2 pad_t: 1 pad_b: 3 pad_l: 2 pad_r: 0", PLANE,
         reference(1, [(1, 3), (2, 0)], 2), opencv="it drops them"),
    case("kernel over the bottom", "num_output: 2 kernel_size: 4 pad_h: 0 pad_w: 1 stride: 3 dilation: 2", PLANE,
         reference(3, [0, 1], 2), opencv="it finds no window"),
    case("force_nd_im2col", "num_output: 4 kernel_size: 3 force_nd_im2col: true engine: CUDNN", PLANE, reference()),
    case("1d", "num_output: 4 kernel_size: 3 stride: 2 pad: 1", [(2, 6, 7)], reference(2, 1)),
    case("3d", "num_output: 3 kernel_size: 3 kernel_size: 2 kernel_size: 1 stride: 2 pad: 1", [(2, 2, 4, 3, 5)],
         reference(2, 1), opencv="it computes other sizes for 3 axes"),
    case("0d", "num_output: 4 kernel_size: 1", [(3, 6)], reference(), opencv="it wants planes"),
    case("axis 2", "num_output: 4 kernel_size: 3 axis: 2", [(2, 3, 2, 4, 5)], reference(axis=2),
         opencv="its reader ignores axis"),
    case("axis -3", "num_output: 10 kernel_size: 2 axis: -3 group: 5", [(2, 1, 5, 3, 4)], reference(group=5, axis=2),
         opencv="its reader ignores axis"),
    case("axis 0", "num_output: 4 kernel_size: 3 axis: 0", [(5, 4, 6)], reference(axis=0),
         opencv="its reader ignores axis"),
    case("two bottoms", "num_output: 4 kernel_size: 3", [(2, 3, 4, 5), (2, 3, 4, 5)], reference(), tops=2),
    case("empty batch", "num_output: 4 kernel_size: 3", [(0, 3, 6, 5)], reference(), gradient=False,
         opencv="it has no empty blobs"),
]
test_cases = run(CASES)

WRONG = [
    ("kernel_size: 3", "num_output"),
    ("num_output: 4", "kernel_size is given 0 times"),
    ("num_output: 4 kernel_size: 3 kernel_h: 3", "not both"),
    ("num_output: 4 kernel_h: 3", "kernel_size must be positive"),
    ("num_output: 4 kernel_size: 3 kernel_size: 3 kernel_size: 3", "given 3 times"),
    ("num_output: 4 kernel_size: 3 stride: 0", "stride must be positive"),
    ("num_output: 4 kernel_size: 3 stride_h: 2", "stride must be positive"),
    ("num_output: 4 kernel_size: 0", "kernel_size must be positive"),
    ("num_output: 4 kernel_size: 3 dilation: 0", "dilation must be positive"),
    ("num_output: 4 kernel_size: 3 dilation: 2 hole: 2", "hole is DeepLab's older name"),
    ("num_output: 4 kernel_size: 3 hole: 2 hole_h: 2", "give hole, or hole_h and hole_w"),
    ("num_output: 4 kernel_size: 3 dilation_h: 2", "dilation must be positive"),
    ("num_output: 6 kernel_size: 3 group: 3", "group 3 must divide"),
    ("num_output: 5 kernel_size: 3 group: 2", "group 2 must divide"),
    ("num_output: 4 kernel_size: 3 axis: 4", "axis 4 is out of range"),
    ("num_output: 4 kernel_size: 30", "too small"),
    ("num_output: 4 kernel_size: 3 pad: 1 pad_b: 1", "give pad_t, pad_b, pad_l, pad_r, or pad"),
    ("num_output: 4 kernel_size: 3 pad_t: -1", "must not be negative"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[options for options, _ in WRONG])
def test_wrong_options(options, message):
    with pytest.raises((LayerError, UnsupportedError), match=f"layer 'l' .*{message}"):
        make(Case("l", f'type: "Convolution" convolution_param {{ {options} }}', PLANE))


def test_h_and_w_are_for_planes():
    for options in ("kernel_h: 3 kernel_w: 3", "kernel_size: 3 pad_r: 1"):
        with pytest.raises(LayerError, match="2 spatial axes, not 1"):
            make(case("l", f"num_output: 4 {options}", [(2, 6, 9)], None))


def test_four_spatial_axes_are_refused():
    with pytest.raises(UnsupportedError, match="4 spatial axes"):
        make(case("l", "num_output: 4 kernel_size: 1", [(2, 3, 4, 5, 6, 7)], None))


def test_bottoms_of_two_shapes_are_refused():
    with pytest.raises(ShapeError, match="one shape"):
        make(case("l", "num_output: 4 kernel_size: 1", [(2, 3, 4, 5), (2, 3, 5, 4)], None, tops=2))


def test_a_top_for_every_bottom():
    with pytest.raises(LayerError, match="one top for each bottom"):
        make(case("l", "num_output: 4 kernel_size: 1", [(2, 3, 4, 5), (2, 3, 4, 5)], None, tops=1))


def test_reshape_checks_channels_and_follows_sizes():
    net = make(CASES[0])
    net.reshape({"b0": (1, 4, 5, 7)})
    assert net(b0=torch.zeros(1, 4, 5, 7))["t0"].shape == (1, 4, 3, 5)
    with pytest.raises(ShapeError, match="made for 4 channels"):
        net.reshape({"b0": (1, 5, 5, 7)})


def test_multiply_adds():
    layer = make(case("l", "num_output: 4 kernel_size: 3 group: 2", PLANE, None)).layer("l")
    assert layer.macs([(2, 4, 6, 5)], [(2, 4, 4, 3)]) == 2 * 4 * 4 * 3 * 2 * 9
