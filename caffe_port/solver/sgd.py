"""SGD with momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.solver.rule import Rule, register


@register
class SGD(Rule):
    """h = rate * diff + momentum * h; data -= h.

    The rate is inside the history (torch.optim.SGD keeps it outside: the two part when the rate changes).
    Source: `SGDSolver::ComputeUpdateValue`, src/caffe/solvers/sgd_solver.cpp.
    """

    def update(self, diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int) -> None:
        torch._foreach_mul_(diffs, rates)
        torch._foreach_add_(diffs, history, alpha=self.momentum)
        torch._foreach_copy_(history, diffs)
