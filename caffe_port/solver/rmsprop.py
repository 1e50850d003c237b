"""RMSProp."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from caffe_port.errors import SolverError
from caffe_port.solver.rule import Rule, register, single


@register
class RMSProp(Rule):
    """h = (1 - rms_decay) * diff^2 + rms_decay * h; data -= rate * diff / (sqrt(h) + delta).

    Source: `RMSPropSolver::ComputeUpdateValue`, src/caffe/solvers/rmsprop_solver.cpp.
    """

    def __init__(self, param: Any) -> None:
        self.decay = single(param.rms_decay)
        super().__init__(param)

    def check(self) -> None:
        if self.momentum:
            raise SolverError(f"Momentum cannot be used with RMSProp. Remove 'momentum: {self.param.momentum:g}'")
        if not 0 <= self.decay < 1:
            raise SolverError(f"rms_decay should lie between 0 and 1 (1 not included), but is {self.param.rms_decay:g}")

    def update(self, diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int) -> None:
        torch._foreach_mul_(history, self.decay)
        torch._foreach_addcmul_(history, diffs, diffs, single(1 - self.decay))
        scale = torch._foreach_sqrt(history)
        torch._foreach_add_(scale, self.delta)
        torch._foreach_div_(diffs, scale)
        torch._foreach_mul_(diffs, rates)
