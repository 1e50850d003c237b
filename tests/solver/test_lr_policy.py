"""Rate policies: every formula against its definition, Caffe's float rounding to the bit, and the refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from caffe_port.errors import SolverError
from caffe_port.proto import caffe_pb2, text
from caffe_port.solver import lr_policy

GOLDEN = Path(__file__).parents[1] / "golden" / "solvers"


def solver(definition: str):
    return text.parse(definition, caffe_pb2.SolverParameter).message


STAGES = "base_lr: 7 stagelr: 0.1 stagelr: 0.4 stageiter: 5 stageiter: 9"
# definition, iteration, rate by the formula in exact arithmetic
FORMULAS = [
    ('lr_policy: "fixed" base_lr: 0.5', 77, 0.5),
    ('lr_policy: "step" base_lr: 0.5 gamma: 0.5 stepsize: 3', 2, 0.5),
    ('lr_policy: "step" base_lr: 0.5 gamma: 0.5 stepsize: 3', 3, 0.25),
    ('lr_policy: "step" base_lr: 0.5 gamma: 0.5 stepsize: 3', 11, 0.0625),
    ('lr_policy: "exp" base_lr: 0.5 gamma: 0.9', 7, 0.5 * 0.9**7),
    ('lr_policy: "inv" base_lr: 0.5 gamma: 0.1 power: 0.75', 20, 0.5 * 3**-0.75),
    ('lr_policy: "poly" base_lr: 0.5 power: 2 max_iter: 10', 4, 0.5 * 0.36),
    ('lr_policy: "poly" base_lr: 0.5 power: 2 max_iter: 10', 10, 0.0),
    ('lr_policy: "sigmoid" base_lr: 0.5 gamma: 0.25 stepsize: 8', 8, 0.25),
    ('lr_policy: "sigmoid" base_lr: 0.5 gamma: -0.0 stepsize: 8', 3, 0.25),
    ('lr_policy: "sigmoid" base_lr: 0.5 gamma: 0.25 stepsize: 8', 12, 0.5 / (1 + math.exp(-1))),
    *((f'lr_policy: "multifixed" {STAGES}', i, lr) for i, lr in [(0, 0.1), (5, 0.1), (6, 0.4), (9, 0.4), (10, 0.4)]),
]


@pytest.mark.parametrize("definition, iteration, expected", FORMULAS)
def test_formula(definition, iteration, expected):
    # 1e-6: single precision, a few roundings.
    assert lr_policy.rate(solver(definition), iteration, 0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("case", sorted(p.name for p in GOLDEN.iterdir() if (p / "trace.npz").exists()))
def test_the_rates_of_a_genuine_caffe_to_the_bit(case):
    param = text.read(GOLDEN / case / "solver.prototxt", caffe_pb2.SolverParameter).message
    recorded = np.load(GOLDEN / case / "trace.npz")["lr"]
    step, ours = 0, []
    for iteration in range(1, len(recorded) + 1):  # what was recorded is the rate of the next iteration
        step = lr_policy.next_step(param, iteration, step)
        ours.append(lr_policy.rate(param, iteration, step))
    assert ours == list(recorded)


def test_multistep_passes_one_stepvalue_an_iteration():
    # Seen in a genuine Caffe: two equal stepvalues take two iterations, and rates follow.
    param = solver('lr_policy: "multistep" base_lr: 1 gamma: 0.5 stepvalue: 2 stepvalue: 3 stepvalue: 3')
    step, seen = 0, []
    for iteration in range(6):
        step = lr_policy.next_step(param, iteration, step)
        seen.append((step, lr_policy.rate(param, iteration, step)))
    assert seen == [(0, 1.0), (0, 1.0), (1, 0.5), (2, 0.25), (3, 0.125), (3, 0.125)]


def test_step_counts_steps_for_the_solverstate():
    assert lr_policy.next_step(solver('lr_policy: "step" stepsize: 4'), 9, 0) == 2


def test_poly_beyond_max_iter_is_not_a_number():
    assert math.isnan(lr_policy.rate(solver('lr_policy: "poly" base_lr: 1 power: 0.5 max_iter: 10'), 11, 0))


REFUSED = [
    (
        'lr_policy: "cosine"',
        "unknown learning rate policy 'cosine'; known are fixed, step, exp, inv, multistep, poly, sigmoid, "
        "multifixed",
    ),
    ('lr_policy: "multifixed" stagelr: 0.1', "needs a stageiter for every stagelr; there are 0 and 1"),
    ("base_lr: 1", "unknown learning rate policy ''"),
    ('lr_policy: "step" gamma: 0.1', "needs a stepsize above 0"),
    ('lr_policy: "sigmoid" gamma: 0.1', "needs a stepsize above 0"),
    ('lr_policy: "exp" gamma: -1', "needs a gamma of 0 or more, but gamma is -1"),
]


@pytest.mark.parametrize("definition, message", REFUSED)
def test_refused(definition, message):
    with pytest.raises(SolverError, match=message.replace("(", r"\(")):
        lr_policy.rate(solver(definition), 0, 0)
