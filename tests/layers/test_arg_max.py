"""ArgMax: all forms of top_k, out_max_val and axis; ties go to the larger index."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

TIED = np.random.default_rng(8).integers(-2, 3, (3, 4, 5, 2)).astype(float)
OPENCV = "its ArgMax does not flatten a sample, and gives integers"


def best(x, k):
    """Values and indices along the last axis, best first, the larger index before the smaller among equals."""
    order = np.argsort(-x[..., ::-1], axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(x[..., ::-1], order, -1), (x.shape[-1] - 1 - order).astype(float)


def reference(k=1, axis=None, values=False):
    def compute(bottoms, blobs):
        (x,) = bottoms
        if axis is not None:
            return [np.moveaxis(best(np.moveaxis(x, axis, -1), k)[0 if values else 1], -1, axis)]
        value, index = best(x.reshape(len(x), -1), k)
        top = np.stack([index, value], 1) if values else index[:, None]
        return [top.reshape(top.shape + (1,) * (x.ndim - 3))]

    return compute


def case(options, bottom, ref):
    text = f'type: "ArgMax" argmax_param {{ {options} }}'
    return Case(f"{options or 'default'} of {np.ndim(bottom)}", text, [bottom], ref, gradient=False, opencv=OPENCV)


CASES = [
    case("", TIED, reference()),
    case("", TIED[..., 0, 0], reference()),
    case("top_k: 3", TIED, reference(3)),
    case("top_k: 3 out_max_val: true", TIED, reference(3, values=True)),
    case("out_max_val: true", TIED[..., 0], reference(values=True)),
    case("axis: 1", TIED, reference(axis=1)),
    case("axis: -1 top_k: 2", TIED, reference(2, -1)),
    case("axis: 2 top_k: 5 out_max_val: true", TIED, reference(5, 2, True)),
    case("axis: 2 out_max_val: true", TIED, reference(1, 2, True)),
    case("axis: 0 top_k: 2", TIED, reference(2, 0)),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "ArgMax" argmax_param { top_k: 13 }', [(2, 3, 4)], 1, "top_k 13 must be 1 to 12"),
    ('type: "ArgMax" argmax_param { top_k: 0 }', [(2, 3, 4)], 1, "top_k 0 must be 1 to 12"),
    ('type: "ArgMax" argmax_param { top_k: 4 axis: 1 }', [(2, 3, 4)], 1, "top_k 4 must be 1 to 3"),
    ('type: "ArgMax" argmax_param { axis: 3 }', [(2, 3, 4)], 1, "axis 3 is out of range"),
])
