"""AdaDelta."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.solver.rule import Rule, register, single


@register
class AdaDelta(Rule):
    """g = momentum * g + (1 - momentum) * diff^2; u = diff * sqrt((s + delta) / (g + delta));
    s = momentum * s + (1 - momentum) * u^2; data -= rate * u.

    The history is g of every parameter, then s of every parameter.
    Source: `AdaDeltaSolver::ComputeUpdateValue`, src/caffe/solvers/adadelta_solver.cpp.
    """

    slots = 2

    def update(self, diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int) -> None:
        gradients, steps = history[: len(diffs)], history[len(diffs) :]
        rest = single(1 - self.momentum)
        torch._foreach_mul_(gradients, self.momentum)
        torch._foreach_addcmul_(gradients, diffs, diffs, rest)
        scale = torch._foreach_add(steps, self.delta)
        torch._foreach_div_(scale, torch._foreach_add(gradients, self.delta))
        torch._foreach_sqrt_(scale)
        torch._foreach_mul_(diffs, scale)
        torch._foreach_mul_(steps, self.momentum)
        torch._foreach_addcmul_(steps, diffs, diffs, rest)
        torch._foreach_mul_(diffs, rates)
