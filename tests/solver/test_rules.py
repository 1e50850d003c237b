"""The six update rules against their formulas in float64, over iterations in which the rate changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port.errors import SolverError
from caffe_port.proto import caffe_pb2, text
from caffe_port.solver.rule import RULES, rule

SHAPES = [(2, 3, 5), (7,)]
RATES = [[0.1, 0.2], [0.1, 0.2], [0.03, 0.06], [0.0, 0.5]]  # by iteration, then by parameter


def sgd(p, g, h, rate, t):
    h[0] = rate * g + p.momentum * h[0]
    return h[0]


def nesterov(p, g, h, rate, t):
    before = h[0]
    h[0] = rate * g + p.momentum * h[0]
    return (1 + p.momentum) * h[0] - p.momentum * before


def adagrad(p, g, h, rate, t):
    h[0] = h[0] + g**2
    return rate * g / (np.sqrt(h[0]) + p.delta)


def rmsprop(p, g, h, rate, t):
    h[0] = p.rms_decay * h[0] + (1 - p.rms_decay) * g**2
    return rate * g / (np.sqrt(h[0]) + p.delta)


def adadelta(p, g, h, rate, t):
    h[0] = p.momentum * h[0] + (1 - p.momentum) * g**2
    step = g * np.sqrt((h[1] + p.delta) / (h[0] + p.delta))
    h[1] = p.momentum * h[1] + (1 - p.momentum) * step**2
    return rate * step


def adam(p, g, h, rate, t):
    h[0] = p.momentum * h[0] + (1 - p.momentum) * g
    h[1] = p.momentum2 * h[1] + (1 - p.momentum2) * g**2
    correction = np.sqrt(1 - p.momentum2**t) / (1 - p.momentum**t)
    return rate * correction * h[0] / (np.sqrt(h[1]) + p.delta)


CASES = [
    ('type: "SGD"', sgd),
    ('type: "SGD" momentum: 0.9', sgd),
    ('type: "Nesterov" momentum: 0.9', nesterov),
    ('type: "AdaGrad" delta: 1e-3', adagrad),
    ('type: "RMSProp" rms_decay: 0.9 delta: 1e-3', rmsprop),
    ('type: "AdaDelta" momentum: 0.95 delta: 1e-4', adadelta),
    ('type: "Adam" momentum: 0.9 momentum2: 0.99 delta: 1e-4', adam),
    ('type: "Adam"', adam),
]


@pytest.mark.parametrize("definition, formula", CASES, ids=[c[0] for c in CASES])
def test_formula(definition, formula):
    param = text.parse(definition, caffe_pb2.SolverParameter).message
    ours = rule(param)
    rng = np.random.default_rng(5)
    history = [torch.zeros(s) for _ in range(ours.slots) for s in SHAPES]
    expected = [[np.zeros(s) for _ in range(ours.slots)] for s in SHAPES]
    for iteration, rates in enumerate(RATES):
        gradients = [rng.standard_normal(s) for s in SHAPES]
        diffs = [torch.from_numpy(g.astype(np.float32)) for g in gradients]
        ours.update(diffs, history, rates, iteration)
        for i, gradient in enumerate(gradients):
            wanted = formula(param, gradient, expected[i], rates[i], iteration + 1)
            # 1e-5: single precision, and Adam's 1 - 0.999 loses four digits of it.
            np.testing.assert_allclose(
                diffs[i].numpy(), wanted, rtol=1e-5 if "999" not in definition else 1e-4, atol=1e-6
            )
            for slot in range(ours.slots):
                kept = history[slot * len(SHAPES) + i].numpy()
                np.testing.assert_allclose(kept, expected[i][slot], rtol=1e-4, atol=1e-7)


def test_every_rule_is_tested():
    assert {definition.split('"')[1] for definition, _ in CASES} == set(RULES)


REFUSED = [
    ('type: "AdaGrad" momentum: 0.9', "Momentum cannot be used with AdaGrad"),
    ('type: "RMSProp" momentum: 0.9', "Momentum cannot be used with RMSProp"),
    ('type: "RMSProp" rms_decay: 1', "rms_decay should lie between 0 and 1"),
    ('type: "RMSProp" rms_decay: -0.5', "rms_decay should lie between 0 and 1"),
    ('type: "Sgd"', "unknown solver type 'Sgd'; known types are AdaDelta, AdaGrad, Adam, Nesterov, RMSProp, SGD"),
]


@pytest.mark.parametrize("definition, message", REFUSED)
def test_refused(definition, message):
    with pytest.raises(SolverError, match=message):
        rule(text.parse(definition, caffe_pb2.SolverParameter).message)
