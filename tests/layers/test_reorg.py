"""Reorg: darknet's order of memory, both ways."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def reference(s, reverse=False):
    """As darknet's own loop: which element of one memory is which of the other."""

    def tops(bottoms, blobs):
        (x,) = bottoms
        n, c, h, w = x.shape
        few = c // s**2
        out = np.zeros((n, c * h * w))
        flat = x.reshape(n, c * h * w)
        for k, j, i in np.ndindex(c, h, w):
            block, channel = divmod(k, few)
            inside = i + w * (j + h * k)
            outside = i * s + block % s + w * s * (j * s + block // s + h * s * channel)
            if reverse:
                out[:, outside] = flat[:, inside]
            else:
                out[:, inside] = flat[:, outside]
        return [out.reshape((n, few, h * s, w * s) if reverse else (n, c * s**2, h // s, w // s))]

    return tops


def case(name, s, shape, reverse=False, **more):
    options = f"stride: {s}{' reverse: true' if reverse else ''}"
    return Case(name, f'type: "Reorg" reorg_param {{ {options} }}', [shape], reference(s, reverse), **more)


REVERSE, TWO = "it has no reverse", "it has no other stride than 2"
CASES = [
    case("two", 2, (2, 4, 4, 6)),
    case("three", 3, (1, 9, 6, 3), opencv=TWO),
    case("one", 1, (2, 3, 4, 5), opencv=TWO),
    case("reverse", 2, (2, 4, 3, 5), reverse=True, opencv=REVERSE),
    case("reverse three", 3, (2, 18, 1, 2), reverse=True, opencv=REVERSE),
    case("empty batch", 2, (0, 4, 2, 2), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Reorg"', [(1, 4, 2, 2)], 1, "give stride"),
    ('type: "Reorg" reorg_param { stride: 2 }', [(1, 6, 2, 2)], 1, "channels in multiples of 4, not 6"),
    ('type: "Reorg" reorg_param { stride: 2 }', [(1, 4, 3, 2)], 1, r"does not divide the plane \(3, 2\)"),
    ('type: "Reorg" reorg_param { stride: 2 }', [(1, 4, 2)], 1, "must have 4 axes"),
])
