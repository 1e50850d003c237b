"""Pooling: options as a table, and the whole grid of kernels, strides, pads and sizes against the definition."""

import itertools
import math
import os
import subprocess

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError, ShapeError
from caffe_port.layers.base import Layer
from caffe_port.layers.pool_window import Window, ave_pool, max_pool, out_len
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from converters.onnx_check import run_onnx
from converters.onnx_model import export
from tests.layers.runner import Case, make, run

LOWEST = float(np.finfo(np.float32).min)


def windows(size, kernel, stride, pad, ceil, clip):
    """(start, end) of each window as the definition loops over them, in pixels and unclipped."""
    count = int((math.ceil if ceil else math.floor)((size + 2 * pad - kernel) / stride)) + 1
    if clip and (count - 1) * stride >= size + pad:
        count -= 1
    return [(i * stride - pad, i * stride - pad + kernel) for i in range(count)]


def places(starts, kernel, size):
    """Which pixel each (window, offset) sees along an axis, kept inside it, and whether it is one."""
    seen = np.array(starts)[:, None] + np.arange(kernel)
    return seen.clip(0, size - 1), (seen >= 0) & (seen < size)


def transcribed(x, kernel, stride, pad, ceil, pool):
    """Pooling by its definition: values, mask (MAX), and the gradient of sum(values * seed), seed 1, 2, 3 ..."""
    n, c, *plane = x.shape
    axes = zip(plane, kernel, stride, pad, strict=True)
    rows, columns = (windows(size, k, s, p, ceil, any(pad)) for size, k, s, p in axes)
    (r, has_r), (q, has_q) = (
        places([start for start, _ in w], k, size) for w, k, size in zip((rows, columns), kernel, plane, strict=True)
    )
    pixels = (r[:, None, :, None] * plane[1] + q[None, :, None, :]).reshape(len(rows), len(columns), -1)
    inside = (has_r[:, None, :, None] & has_q[None, :, None, :]).reshape(pixels.shape)
    seen = x.reshape(n, c, -1)[:, :, pixels]  # (n, c, windows high, windows wide, pixels of a window in scanning order)
    seed = 1 + np.arange(n * c * len(rows) * len(columns), dtype=float).reshape(seen.shape[:-1])
    gradient = np.zeros((n, c, plane[0] * plane[1]))
    image, channel = np.indices((n, c))[:, :, :, None, None]
    if pool == "AVE":
        high, wide = (
            [min(end, size + p) - start for start, end in w]
            for w, size, p in zip((rows, columns), plane, pad, strict=True)
        )
        area = np.outer(high, wide).astype(float)
        with np.errstate(all="ignore"):  # a window without pixels: 0 / 0
            value, share = np.where(inside, seen, 0).sum(-1) / area, seed / area
        np.add.at(gradient, (image[..., None], channel[..., None], pixels), np.where(inside, share[..., None], 0))
        return value, np.full(value.shape, -1.0), gradient.reshape(x.shape)
    seen = np.where(inside & ~np.isnan(seen), seen, -np.inf)
    best = seen.argmax(-1)  # the first of equals
    won = seen.max(-1) > LOWEST
    winner = np.take_along_axis(np.broadcast_to(pixels, seen.shape), best[..., None], -1)[..., 0]
    np.add.at(gradient, (image, channel, winner), np.where(won, seed, 0))
    return np.where(won, seen.max(-1), LOWEST), np.where(won, winner, -1), gradient.reshape(x.shape)


def reference(kernel, stride=1, pad=0, ceil=True, pool="MAX", mask=False):
    pairs = [(v, v) if isinstance(v, int) else v for v in (kernel, stride, pad)]
    return lambda bottoms, blobs: transcribed(bottoms[0], *pairs, ceil, pool)[: 2 if mask else 1]


def stochastic(bottoms, blobs):
    x = bottoms[0]
    y = np.zeros((*x.shape[:2], 3, 3))
    for i, j in np.ndindex(3, 3):
        seen = x[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        total = seen.sum((2, 3))
        y[:, :, i, j] = np.where(total > 0, (seen**2).sum((2, 3)) / np.where(total > 0, total, 1), 0)
    return [y]


def sided(kernel, stride, pads, pool="MAX", ceil=True, mask=False):
    """Window by window, with pads (top, bottom, left, right). AVE_EXC_PAD counts only what the window sees."""

    def tops(bottoms, blobs):
        x, (t, b, left, r) = bottoms[0], pads
        (n, m), (high, wide) = x.shape[2:], [
            int((math.ceil if ceil else math.floor)((size + pad - kernel) / stride)) + 1
            for size, pad in zip(x.shape[2:], (t + b, left + r), strict=True)
        ]
        high -= any(pads) and (high - 1) * stride >= n + t
        wide -= any(pads) and (wide - 1) * stride >= m + left
        y, at = np.zeros((*x.shape[:2], high, wide)), np.zeros((*x.shape[:2], high, wide))
        for i, j in np.ndindex(high, wide):
            r0, c0 = i * stride - t, j * stride - left
            area = (min(r0 + kernel, n + b) - r0) * (min(c0 + kernel, m + r) - c0)
            seen = x[:, :, max(r0, 0) : r0 + kernel, max(c0, 0) : c0 + kernel]
            if pool == "MAX":
                y[..., i, j] = seen.max((2, 3))
                row, column = np.divmod(seen.reshape(*x.shape[:2], -1).argmax(-1), seen.shape[3])
                at[..., i, j] = (row + max(r0, 0)) * m + column + max(c0, 0)
            else:
                y[..., i, j] = seen.sum((2, 3)) / (area if pool == "AVE" else seen[0, 0].size)
        return [y, at][: 2 if mask else 1]

    return tops


def case(name, options, bottom, found, **more):
    return Case(name, f'type: "Pooling" pooling_param {{ {options} }}', [bottom], found, **more)


PLANE = (1, 2, 8, 7)
POSITIVE = np.maximum(np.random.default_rng(1).normal(size=(2, 3, 7, 6)), 0)
POSITIVE[0, 0] = 0
CASES = [
    case("MAX k3 s2", "kernel_size: 3 stride: 2", PLANE, reference(3, 2)),
    case("MAX k3 s2 p1", "kernel_size: 3 stride: 2 pad: 1", PLANE, reference(3, 2, 1)),
    case("MAX k2 s2 p1", "kernel_size: 2 stride: 2 pad: 1", PLANE, reference(2, 2, 1)),
    case("MAX k4 s3 p3", "kernel_size: 4 stride: 3 pad: 3", PLANE, reference(4, 3, 3)),
    case("MAX floor", "kernel_size: 3 stride: 2 round_mode: FLOOR", PLANE, reference(3, 2, ceil=False),
         opencv="its reader fails on round_mode"),
    case("MAX a fork's floor", "kernel_size: 3 stride: 2 ceil_mode: false", PLANE, reference(3, 2, ceil=False)),
    case("MAX h and w", "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", PLANE,
         reference((3, 2), (2, 1), (1, 0))),
    case("MAX global", "pool: MAX global_pooling: true", PLANE, reference((8, 7))),
    case("MAX mask", "kernel_size: 3 stride: 2 pad: 1", PLANE, reference(3, 2, 1, mask=True), tops=2),
    case("MAX mask, big pad", "kernel_size: 4 stride: 3 pad: 3", PLANE, reference(4, 3, 3, mask=True), tops=2),
    case("MAX window without pixels", "kernel_size: 1 stride: 2", (2, 3, 6, 8),
         reference(1, 2), opencv="it gives 0 there"),
    case("MAX larger than the plane", "kernel_size: 5 stride: 3", (2, 3, 3, 4),
         reference(5, 3), opencv="it finds no window"),
    case("AVE k3 s2", "pool: AVE kernel_size: 3 stride: 2", PLANE, reference(3, 2, pool="AVE")),
    case("AVE k3 s2 p1", "pool: AVE kernel_size: 3 stride: 2 pad: 1", PLANE, reference(3, 2, 1, pool="AVE")),
    case("AVE k5 s4 p2", "pool: AVE kernel_size: 5 stride: 4 pad: 2", PLANE, reference(5, 4, 2, pool="AVE")),
    case("AVE k4 s3 p3", "pool: AVE kernel_size: 4 stride: 3 pad: 3", PLANE, reference(4, 3, 3, pool="AVE")),
    case("AVE floor", "pool: AVE kernel_size: 3 stride: 2 round_mode: FLOOR", PLANE, reference(3, 2, 0, False, "AVE"),
         opencv="its reader fails on round_mode"),
    case("AVE global", "pool: AVE global_pooling: true", PLANE, reference((8, 7), pool="AVE")),
    case("AVE window without pixels", "pool: AVE kernel_size: 1 stride: 2", (2, 3, 6, 7), reference(1, 2, pool="AVE"),
         gradient=False),
    *(case(f"{pool} {rounding} pads {pads}", f"pool: {pool} kernel_size: 3 stride: {stride} round_mode: {rounding} "
           + " ".join(f"pad_{side}: {pad}" for side, pad in zip("tblr", pads, strict=True)), PLANE,
           sided(3, stride, pads, pool, rounding == "CEIL"), opencv="it has no such pads")
      for pool in ("MAX", "AVE", "AVE_EXC_PAD") for rounding in ("CEIL", "FLOOR")
      for stride, pads in ((2, (0, 1, 0, 1)), (1, (1, 0, 2, 1)), (2, (0, 2, 1, 0)))),
    case("MAX mask, pads", "kernel_size: 3 stride: 2 pad_b: 1 pad_l: 1", PLANE, sided(3, 2, (0, 1, 1, 0), mask=True),
         tops=2, opencv="it has no such pads"),
    case("AVE_EXC_PAD k3 s2 p1", "pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad: 1", PLANE,
         sided(3, 2, (1, 1, 1, 1), "AVE_EXC_PAD"), opencv="it has no AVE_EXC_PAD"),
    case("AVE_TF", "pool: AVE_TF kernel_size: 3 pad: 2", PLANE, sided(3, 1, (2, 2, 2, 2), "AVE_EXC_PAD"),
         opencv="it has no AVE_TF"),
    case("AVE_EXC_PAD global", "pool: AVE_EXC_PAD global_pooling: true", PLANE, reference((8, 7), pool="AVE"),
         opencv="it has no AVE_EXC_PAD"),
    case("SAME k2", "kernel_size: 2 pad_type: 1", PLANE, sided(2, 1, (0, 1, 0, 1)), opencv="it has no pad_type"),
    case("SAME k3 s2", "pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad_type: 1", PLANE,
         sided(3, 2, (0, 1, 1, 1), "AVE_EXC_PAD"), opencv="it has no pad_type"),
    case("SAME k2 s3", "kernel_size: 2 stride: 3 pad_type: 1", PLANE, sided(2, 3, (0, 0, 0, 1)),
         opencv="it has no pad_type"),
    case("STOCHASTIC, test", "pool: STOCHASTIC kernel_size: 3 stride: 2", POSITIVE, stochastic, gradient=False,
         opencv="it has no STOCHASTIC"),
    case("STOCHASTIC, train", "pool: STOCHASTIC kernel_size: 3 stride: 2", POSITIVE + 0.01, None, phase="TRAIN"),
]
test_cases = run(CASES)

GRID = list(itertools.product(range(1, 6), range(1, 5), range(3)))  # kernel, stride, pad
KERNELS = [(k, s, p) for k, s, p in GRID if p < k]


def two_ways(size):
    """(height, width, ((kernel, stride, pad) along the height, along the width)), once with one setting for both.

    Width and height are never of one size; both take every size, and every setting stands along both.
    """
    for i, along in enumerate(KERNELS):
        yield size, 5 + (size - 2) % 8, (along, along)
        yield size, 5 + (size - 4 + i % 7) % 8, (along, KERNELS[(7 * i + 5 * size + 3) % len(KERNELS)])


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("ceil", [True, False], ids=["CEIL", "FLOOR"])
def test_grid(pool, ceil):
    """Kernel 1-5, stride 1-4, pad 0-2, sizes 5-12: values, shape, mask and gradient, equal or to float64 rounding."""
    rng = np.random.default_rng(2)
    for height, width, settings in itertools.chain.from_iterable(map(two_ways, range(5, 13))):
        kernel, stride, pad = zip(*settings, strict=True)
        data = rng.integers(-3, 4, (1, 2, height, width)).astype(float)  # whole numbers: many ties
        x = torch.tensor(data, requires_grad=True)
        window = Window(kernel, stride, pad, ceil)
        layer = Layer(caffe_pb2.LayerParameter())
        top, index = max_pool(x, window) if pool == "MAX" else (ave_pool(layer, x, window), None)
        value, mask, gradient = transcribed(data, kernel, stride, pad, ceil, pool)
        where = f"kernel {kernel}, stride {stride}, pad {pad}, plane {data.shape[2:]}"
        assert tuple(top.shape[2:]) == window.counts(data.shape[2:]) == value.shape[2:], where
        np.testing.assert_allclose(top.detach(), value, rtol=1e-14, err_msg=where)
        top.backward(1 + torch.arange(top.numel(), dtype=top.dtype).reshape(top.shape))
        np.testing.assert_allclose(x.grad, gradient, rtol=1e-13, atol=1e-13, err_msg=where)
        if index is not None:
            np.testing.assert_array_equal(index, mask, err_msg=where)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_the_rest_of_the_grid_is_refused(pool):
    """A pad that is not smaller than the kernel."""
    for k, s, p in set(GRID) - set(KERNELS):
        with pytest.raises(LayerError, match="smaller than the kernel"):
            make(case("l", f"pool: {pool} kernel_size: {k} stride: {s} pad: {p}", PLANE, None))


OTHER_PYTHON = os.environ.get("ONNXRUNTIME_PYTHON", "")
"""An interpreter with another onnxruntime to run the grid in, an old one say (1.16: Python 3.11, NumPy below 2)."""
ELSEWHERE = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
numpy.savez(sys.argv[3], **dict(zip(names, session.run(names, {"x": numpy.load(sys.argv[2])}))))
"""


def run_here(path, x):
    return run_onnx(path, {"x": x})


def run_elsewhere(path, x):
    given, made = path.with_name("x.npy"), path.with_name("made.npz")
    np.save(given, x)
    subprocess.run([OTHER_PYTHON, "-c", ELSEWHERE, path, given, made], check=True)
    with np.load(made) as held:
        return dict(held)


@pytest.mark.parametrize("engine", [
    pytest.param(run_here, id="onnxruntime"),
    pytest.param(run_elsewhere, id="other", marks=pytest.mark.skipif(not OTHER_PYTHON, reason="no ONNXRUNTIME_PYTHON")),
])
@pytest.mark.parametrize("size", range(5, 13))
def test_grid_in_onnx(size, engine, tmp_path):
    """The same grid in onnxruntime, from files that use explicit pads and no ceil_mode; with masks where no window is
    without a pixel."""
    shape = (1, 2, size, 5 + (size + 3) % 8)
    dims = " ".join(f"dim: {d}" for d in shape)
    lines = [f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}']
    for n, ((k, s, p), pool, rounding) in enumerate(itertools.product(KERNELS, ("MAX", "AVE"), ("CEIL", "FLOOR"))):
        options = f"pool: {pool} kernel_size: {k} stride: {s} pad: {p} round_mode: {rounding}"
        after = Window((k, k), (s, s), (p, p), rounding == "CEIL").pads_after(shape[2:])
        mask = f'top: "m{n}"' if pool == "MAX" and max(after) < k else ""
        tops = f'bottom: "x" top: "y{n}" {mask}'
        lines.append(f'layer {{ name: "p{n}" type: "Pooling" {tops} pooling_param {{ {options} }} }}')
    net = Net(text.parse("\n".join(lines), caffe_pb2.NetParameter).message)
    exported = export(net)
    assert not any(a.name == "ceil_mode" for node in exported.model.graph.node for a in node.attribute)
    exported.save(tmp_path / "net.onnx")
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    theirs, ours = engine(tmp_path / "net.onnx", x), net(x=torch.from_numpy(x))
    assert len(theirs) == len(ours) == 4 * len(KERNELS) + sum('top: "m' in line for line in lines)
    for name, top in ours.items():
        np.testing.assert_allclose(theirs[name], top.detach(), rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("size", "kernel", "stride", "pad", "ceil", "count"), [
    (8, 3, 2, 0, True, 4),  # 3.5 windows, rounded up
    (8, 3, 2, 0, False, 3),
    (7, 2, 2, 1, True, 4),  # rounded up to 5; the last would start at pixel 7, outside: dropped
    (6, 1, 2, 0, True, 4),  # without padding it stays, and sees nothing
    (224, 7, 2, 3, True, 113),
    (2, 3, 2, 0, True, 1),  # a kernel larger than the plane
    (2, 3, 2, 0, False, 0),
])
def test_out_len(size, kernel, stride, pad, ceil, count):
    assert out_len(size, kernel, stride, pad, ceil) == count


def test_a_pad_on_one_axis_drops_on_both():
    assert out_len(6, 1, 2, 0) == 4
    assert out_len(6, 1, 2, 0, clip=True) == 3


def test_nan_and_minus_infinity_never_win():
    x = torch.tensor([[[[float("nan"), 1.0, float("nan"), -float("inf")], [0.5, 3.0, -float("inf"), float("nan")]]]])
    x.requires_grad_()
    top, index = max_pool(x, Window((2, 2), (2, 2)))
    assert top.flatten().tolist() == [3.0, LOWEST] and index.flatten().tolist() == [5, -1]
    top[..., 0].sum().backward()
    assert x.grad.nan_to_num().flatten().tolist() == [0, 0, 0, 0, 0, 1, 0, 0]


def test_stochastic_draws_by_value():
    torch.manual_seed(4)
    layer = make(case("l", "pool: STOCHASTIC kernel_size: 2 stride: 2", (1, 1, 2, 2), None, phase="TRAIN")).layer("l")
    x = torch.tensor([1.0, 2.0, 5.0, 0.0]).reshape(1, 1, 2, 2).expand(4000, 1, 2, 2)
    drawn = layer(x).flatten()
    shares = [(drawn == v).double().mean().item() for v in (1, 2, 5, 0)]
    np.testing.assert_allclose(shares, [1 / 8, 2 / 8, 5 / 8, 0], atol=0.03)  # 4 standard deviations of 4000 draws


WRONG = [
    ("", "kernel_size, or as kernel_h and kernel_w"),
    ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "not as both"),
    ("kernel_h: 2", "kernel_h and kernel_w"),
    ("kernel_size: 0", "must be positive"),
    ("kernel_size: 2 stride: 0", "must be positive"),
    ("kernel_size: 2 stride_h: 2", "stride_h and stride_w"),
    ("kernel_size: 2 pad: 1 pad_h: 1 pad_w: 1", "pad_h and pad_w"),
    ("kernel_size: 2 pad: 2", "smaller than the kernel"),
    ("kernel_size: 2 pad_r: 2", r"pad \(0, 2\) must be smaller than the kernel"),
    ("kernel_size: 2 pad: 1 pad_r: 1", "give one of pad, pad_type, and pad_t"),
    ("kernel_size: 2 pad_type: 1 pad_r: 1", "give one of pad, pad_type, and pad_t"),
    ("kernel_size: 2 pad: 1 pool: STOCHASTIC", "MAX and AVE"),
    ("global_pooling: true kernel_size: 2", "remove kernel_size"),
    ("global_pooling: true stride: 2", "stride 1 only"),
    ("global_pooling: true pool: AVE pad_type: 1", "pad 0 and stride 1 only"),
    ("kernel_size: 30", "no window"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[options or "nothing" for options, _ in WRONG])
def test_wrong_options(options, message):
    with pytest.raises(LayerError, match=f"layer 'l' .*{message}"):
        make(case("l", options, PLANE, None))


def test_only_max_has_a_mask():
    with pytest.raises(LayerError, match="second top"):
        make(case("l", "pool: AVE kernel_size: 2", PLANE, None, tops=2))


def test_a_bottom_has_four_axes():
    with pytest.raises(ShapeError, match="4 axes"):
        make(case("l", "kernel_size: 2", (2, 3, 5), None))
