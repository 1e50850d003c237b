"""Nesterov's accelerated gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.solver.rule import Rule, register, single


@register
class Nesterov(Rule):
    """h' = rate * diff + momentum * h; data -= (1 + momentum) * h' - momentum * h.

    Source: `NesterovSolver::ComputeUpdateValue`, src/caffe/solvers/nesterov_solver.cpp.
    """

    def update(self, diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int) -> None:
        step_back = torch._foreach_mul(history, self.momentum)
        torch._foreach_mul_(diffs, rates)
        torch._foreach_add_(diffs, step_back)
        torch._foreach_copy_(history, diffs)
        torch._foreach_mul_(diffs, single(1 + self.momentum))
        torch._foreach_sub_(diffs, step_back)
