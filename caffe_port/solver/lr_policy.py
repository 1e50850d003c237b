"""The learning rate of an iteration: pure functions of the solver's definition, in Caffe's single precision.

Source: `SGDSolver::GetLearningRate`, src/caffe/solvers/sgd_solver.cpp of BVLC Caffe 1.0. There `pow(float, int)` is a
double product that is rounded once, while `pow(float, float)` and `exp(float)` round to float before they are
multiplied; the functions here do the same, so the rate is Caffe's to the last bit. "multifixed" is of the Caffes that
train YOLO (yeahkun/caffe-yolo, MobileNet-YOLO, Intel's), in one and the same form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe_port.errors import SolverError

F = np.float32
Policy = Callable[[Any, int, int], float]


def rate(param: Any, iteration: int, current_step: int) -> float:
    """The rate of `iteration` by `param.lr_policy`, as a float that single precision holds exactly.

    `current_step` matters to "multistep" only; `next_step` gives it. A policy that is not Caffe's raises SolverError.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return float(F(policy(param)(param, iteration, current_step)))


def policy(param: Any) -> Policy:
    """The function of `param.lr_policy`, after Caffe's checks of the numbers that it uses."""
    name = param.lr_policy
    if name not in POLICIES:
        raise SolverError(f"lr_policy: unknown learning rate policy '{name}'; known are {', '.join(POLICIES)}")
    if name in ("step", "sigmoid") and param.stepsize <= 0:
        raise SolverError(f"lr_policy '{name}' needs a stepsize above 0, but stepsize is {param.stepsize}")
    if name == "multifixed" and (not param.stagelr or len(param.stagelr) != len(param.stageiter)):
        raise SolverError(
            f"lr_policy 'multifixed' needs a stageiter for every stagelr; there are {len(param.stageiter)} and "
            f"{len(param.stagelr)}"
        )
    if name not in ("fixed", "poly", "multifixed") and not param.gamma >= 0:
        raise SolverError(f"lr_policy '{name}' needs a gamma of 0 or more, but gamma is {param.gamma:g}")
    return POLICIES[name]


def next_step(param: Any, iteration: int, current_step: int) -> int:
    """`current_step` as `iteration` leaves it, for the policies that count steps.

    "multistep" passes at most one stepvalue an iteration (equal stepvalues take effect one iteration after the other);
    "step" counts whole stepsizes. Other policies do not touch it.
    """
    if param.lr_policy == "step":
        return iteration // param.stepsize
    if param.lr_policy == "multistep":
        due = current_step < len(param.stepvalue) and iteration >= param.stepvalue[current_step]
        return current_step + due
    return current_step


def fixed(param: Any, iteration: int, current_step: int) -> float:
    """base_lr"""
    return param.base_lr


def step(param: Any, iteration: int, current_step: int) -> float:
    """base_lr * gamma ^ floor(iter / stepsize)"""
    return param.base_lr * _power(param.gamma, iteration // param.stepsize)


def exp(param: Any, iteration: int, current_step: int) -> float:
    """base_lr * gamma ^ iter"""
    return param.base_lr * _power(param.gamma, iteration)


def inv(param: Any, iteration: int, current_step: int) -> float:
    """base_lr * (1 + gamma * iter) ^ -power"""
    return F(param.base_lr) * F(_power(F(1) + F(param.gamma) * F(iteration), -param.power))


def multistep(param: Any, iteration: int, current_step: int) -> float:
    """base_lr * gamma ^ (number of stepvalues passed)"""
    return param.base_lr * _power(param.gamma, current_step)


def poly(param: Any, iteration: int, current_step: int) -> float:
    """base_lr * (1 - iter / max_iter) ^ power; not a number beyond max_iter, as in Caffe"""
    return F(param.base_lr) * F(_power(F(1) - F(iteration) / F(param.max_iter), param.power))


def sigmoid(param: Any, iteration: int, current_step: int) -> float:
    """base_lr / (1 + exp(-gamma * (iter - stepsize)))"""
    exponent = -F(param.gamma) * (F(iteration) - F(param.stepsize))
    return F(param.base_lr) * (F(1) / (F(1) + F(np.exp(np.float64(exponent)))))


def multifixed(param: Any, iteration: int, current_step: int) -> float:
    """The stagelr of the first stage whose stageiter is not below iter; behind the last, the last one's"""
    stages = zip(param.stageiter, param.stagelr, strict=True)
    return next((lr for end, lr in stages if iteration <= end), param.stagelr[-1])


def _power(base: float, exponent: float) -> float:
    """C's `pow` in double precision: infinity and NaN where Python would raise."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


POLICIES: dict[str, Policy] = {f.__name__: f for f in (fixed, step, exp, inv, multistep, poly, sigmoid, multifixed)}
