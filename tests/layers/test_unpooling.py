"""Unpooling: MAX with and without a mask, AVE and TILE with windows that overlap, end outside or leave gaps."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run
from tests.layers.test_upsample import mask, placed

X = (1, 2, 4, 5)


def corners(kernel, stride, size):
    def tops(bottoms, blobs):
        x = bottoms[0]
        y = np.zeros((*x.shape[:2], *size))
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                y[:, :, min(i * stride[0], size[0] - 1), min(j * stride[1], size[1] - 1)] = x[:, :, i, j]
        return [y]

    return tops


def spread(kernel, stride, size, mean):
    def tops(bottoms, blobs):
        x = bottoms[0]
        y = np.zeros((*x.shape[:2], *size))
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                rows = slice(i * stride[0], min(i * stride[0] + kernel[0], size[0]))
                columns = slice(j * stride[1], min(j * stride[1] + kernel[1], size[1]))
                area = (rows.stop - rows.start) * (columns.stop - columns.start)
                y[:, :, rows, columns] += x[:, :, i : i + 1, j : j + 1] / (area if mean and area > 0 else 1)
        return [y]

    return tops


def case(method, kernel, stride, size, **more):
    text = (f'type: "Unpooling" unpooling_param {{ unpool: {method} kernel_h: {kernel[0]} kernel_w: {kernel[1]} '
            f"stride_h: {stride[0]} stride_w: {stride[1]} unpool_h: {size[0]} unpool_w: {size[1]} }}")  # fmt: skip
    found = corners(kernel, stride, size) if method == "MAX" else spread(kernel, stride, size, method == "AVE")
    name = f"{method} k{kernel[0]}{kernel[1]} s{stride[0]}{stride[1]} to {size[0]}x{size[1]}"
    # TILE's gradient is no derivative; values that meet at the border have Caffe's.
    more.setdefault("gradient", method == "AVE" or (method == "MAX" and size == (8, 15)))
    return Case(name, text, [X], found, opencv="it has no layer of this name", **more)


SQUARE = "kernel_size: 2 stride: 2 unpool_size: 10"
CASES = [
    case(method, kernel, stride, size)
    for method in ("MAX", "AVE", "TILE")
    for kernel, stride, size in (((2, 3), (2, 3), (8, 15)), ((3, 3), (2, 1), (8, 6)), ((2, 2), (3, 3), (13, 16)))
] + [
    Case("MAX with a mask", f'type: "Unpooling" unpooling_param {{ {SQUARE} }}', [X, mask(X, 100)], placed(10, 10),
         onnx_in="no stock layer writes to computed places", opencv="it has no layer of this name"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Unpooling" unpooling_param { kernel_size: 2 stride: 2 }', [X], 1, "needs unpool_size, or unpool_h"),
    ('type: "Unpooling" unpooling_param { unpool_size: 9 }', [X], 1, "needs kernel_size"),
    (f'type: "Unpooling" unpooling_param {{ {SQUARE} unpool_h: 8 unpool_w: 8 }}', [X], 1, "give unpool_size, or"),
    (f'type: "Unpooling" unpooling_param {{ {SQUARE} stride_h: 2 }}', [X], 1, "give stride, or stride_h"),
    (f'type: "Unpooling" unpooling_param {{ {SQUARE} pad: 1 }}', [X], 1, "padding"),
    (f'type: "Unpooling" unpooling_param {{ {SQUARE} unpool: AVE }}', [X, X], 1, "with unpool MAX only"),
    (f'type: "Unpooling" unpooling_param {{ {SQUARE} }}', [X, (1, 2, 4, 4)], 1, "must be as large as the bottom"),
    ('type: "Unpooling" unpooling_param { kernel_size: 0 unpool_size: 9 }', [X], 1, "must be positive"),
])


def test_the_gradient_of_tile_is_the_mean_over_the_window():
    layer = make(case("TILE", (2, 2), (2, 2), (3, 4))).layer("l")
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    (layer(x) * torch.arange(12.0).reshape(3, 4)).sum().backward()
    assert x.grad.flatten().tolist() == [2.5, 4.5, 8.5, 10.5]
