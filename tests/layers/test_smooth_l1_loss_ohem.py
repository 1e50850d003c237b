"""SmoothL1LossOHEM: the divisors, the weights, the loss of every region."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

SHAPE = (3, 4, 2, 5)


def reference(divide, weighted=True, tops=1):
    def f(bottoms, blobs):
        x = bottoms[0] - bottoms[1]
        x = np.abs(x * bottoms[2] if weighted else x)
        each = np.where(x < 1, x * x / 2, x - 0.5)
        four = each.reshape((*each.shape, 1, 1)[:4])
        return [each.sum() / divide, four.sum(1, keepdims=True)][:tops]

    return f


def case(name, options, divide, shape=SHAPE, count=3, tops=1, **more):
    return Case(name, f'type: "SmoothL1LossOHEM" {options}', [shape] * count, reference(divide, count > 2, tops),
                tops=tops, onnx="a loss", opencv="a loss", **more)  # fmt: skip


CASES = [
    case("default", "", 30),
    case("no weights", "", 30, count=2),
    case("full", "loss_param { normalization: FULL }", 30),
    case("batch", "loss_param { normalization: BATCH_SIZE }", 3),
    case("none", "loss_param { normalization: NONE }", 1),
    case("fixed", "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }", 128),
    case("fixed, not given", "loss_param { normalization: PRE_FIXED }", 1),
    case("each", "", 30, tops=2, gradient=False),
    case("vectors", "loss_weight: 1", 6, shape=(6, 8)),
]
test_cases = run(CASES)

TYPE = 'type: "SmoothL1LossOHEM"'
test_refused = refusals([
    (TYPE, [(3, 4), (3, 5)], 1, "of one shape"),
    (TYPE, [(3,), (3,)], 1, "of one shape"),
    (f"{TYPE} loss_param {{ normalization: PRE_FIXED pre_fixed_normalizer: 0 }}", [(3, 4), (3, 4)], 1, "positive"),
    ('type: "SoftmaxWithLoss" loss_param { normalization: PRE_FIXED }', [(3, 4), (3,)], 1, "loss_param.normalization"),
    ('type: "EuclideanLoss" loss_param { pre_fixed_normalizer: 3 }', [(3, 4), (3, 4)], 1, "pre_fixed_normalizer"),
])  # fmt: skip
