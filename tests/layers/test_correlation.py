"""Correlation: displacements, strides, kernels and pads, products and distances, against the sums written out."""

import math

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (1, 1, 5, 6)


def reference(kernel=1, reach=1, pad=0, one=1, two=1, subtract=False):
    def tops(bottoms, blobs):
        a, b = (np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))) for x in bottoms)
        border, radius = reach + kernel // 2, reach // two
        high, wide = (math.ceil((n - 2 * border) / one) for n in a.shape[2:])
        steps = [i * two for i in range(-radius, radius + 1)]
        y = np.zeros((len(a), len(steps) ** 2, high, wide))
        for d, (dy, dx) in enumerate((dy, dx) for dy in steps for dx in steps):
            for i, j in np.ndindex(high, wide):
                r, c = i * one + reach, j * one + reach
                mine = a[:, :, r : r + kernel, c : c + kernel]
                theirs = b[:, :, r + dy : r + dy + kernel, c + dx : c + dx + kernel]
                y[:, d, i, j] = (abs(mine - theirs) if subtract else mine * theirs).mean((1, 2, 3))
        return [y]

    return tops


def case(name, options, found, bottom=X, **more):
    return Case(name, f'type: "Correlation" correlation_param {{ {options} }}', [bottom] * 2, found, **more)


CASES = [
    case("plain", "kernel_size: 1 max_displacement: 1", reference()),
    case("as FlowNetC", "kernel_size: 1 max_displacement: 4 pad: 4 stride_1: 1 stride_2: 2",
         reference(1, 4, 4, 1, 2), (1, 2, 4, 3)),
    case("kernel 3", "kernel_size: 3 max_displacement: 1 pad: 2", reference(3, 1, 2), (1, 2, 4, 3)),
    case("strides", "kernel_size: 3 max_displacement: 3 pad: 4 stride_1: 2 stride_2: 3", reference(3, 3, 4, 2, 3)),
    case("stride_2 over the displacement", "kernel_size: 1 max_displacement: 1 stride_2: 2", reference(1, 1, 0, 1, 2)),
    case("no displacement", "kernel_size: 1 max_displacement: 0 do_abs: true", reference(1, 0)),
    case("SUBTRACT", "kernel_size: 3 max_displacement: 1 pad: 1 stride_1: 2 correlation_type: SUBTRACT",
         reference(3, 1, 1, 2, 1, True), (1, 2, 5, 4), gradient=False, opencv="it multiplies"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Correlation" correlation_param { kernel_size: 1 }', [X, X], 1, "max_displacement must be given"),
    ('type: "Correlation" correlation_param { kernel_size: 2 max_displacement: 1 }', [X, X], 1, "must be odd"),
    ('type: "Correlation" correlation_param { kernel_size: 1 max_displacement: 3 }', [X, X], 1, "do not fit"),
    ('type: "Correlation" correlation_param { kernel_size: 1 max_displacement: 0 stride_2: 0 }', [X, X], 1, "positive"),
    ('type: "Correlation" correlation_param { kernel_size: 1 max_displacement: 0 single_direction: 1 }', [X, X], 1,
     "single_direction"),
    ('type: "Correlation" correlation_param { kernel_size: 1 max_displacement: 0 }', [X, (1, 1, 5, 5)], 1, "one shape"),
])
