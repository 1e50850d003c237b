"""AdaGrad."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.errors import SolverError
from caffe_port.solver.rule import Rule, register


@register
class AdaGrad(Rule):
    """h += diff^2; data -= rate * diff / (sqrt(h) + delta).

    Source: `AdaGradSolver::ComputeUpdateValue`, src/caffe/solvers/adagrad_solver.cpp.
    """

    def check(self) -> None:
        if self.momentum:
            raise SolverError(f"Momentum cannot be used with AdaGrad. Remove 'momentum: {self.param.momentum:g}'")

    def update(self, diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int) -> None:
        torch._foreach_addcmul_(history, diffs, diffs)
        scale = torch._foreach_sqrt(history)
        torch._foreach_add_(scale, self.delta)
        torch._foreach_div_(diffs, scale)
        torch._foreach_mul_(diffs, rates)
