"""Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.solver.rule import Rule, register, single


@register
class Adam(Rule):
    """m = b1 * m + (1 - b1) * diff; v = b2 * v + (1 - b2) * diff^2;
    data -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + delta); b1 = momentum, b2 = momentum2, t = iter + 1.

    delta stands beside the uncorrected sqrt(v) (torch.optim.Adam adds it after the correction). The history is m of
    every parameter, then v of every parameter.
    Source: `AdamSolver::ComputeUpdateValue`, src/caffe/solvers/adam_solver.cpp.
    """

    slots = 2

    def __init__(self, param: Any) -> None:
        self.momentum2 = single(param.momentum2)
        super().__init__(param)

    def correction(self, t: int) -> float:
        """Of the bias that m and v have towards their start at zero, in Caffe's mixture of precisions."""
        unbias_v = np.float32(np.sqrt(1 - self.momentum2**t))
        return float(np.float32(unbias_v / (1 - self.momentum**t)))

    def update(self, diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int) -> None:
        m, scale = self._moments(diffs, history)
        torch._foreach_copy_(diffs, m)
        torch._foreach_div_(diffs, scale)
        torch._foreach_mul_(diffs, self._steps(rates, iteration))

    def apply(
        self, data: list[Tensor], diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int
    ) -> None:
        m, scale = self._moments(diffs, history)
        torch._foreach_addcdiv_(data, m, scale, [-step for step in self._steps(rates, iteration)])

    def _moments(self, diffs: list[Tensor], history: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """m, brought up to date, and sqrt(v) + delta."""
        m, v = history[: len(diffs)], history[len(diffs) :]
        torch._foreach_mul_(m, self.momentum)
        torch._foreach_add_(m, diffs, alpha=single(1 - self.momentum))
        torch._foreach_mul_(v, self.momentum2)
        torch._foreach_addcmul_(v, diffs, diffs, single(1 - self.momentum2))
        scale = list(torch._foreach_sqrt(v))
        torch._foreach_add_(scale, self.delta)
        return m, scale

    def _steps(self, rates: list[float], iteration: int) -> list[float]:
        correction = self.correction(iteration + 1)
        return [single(rate * correction) for rate in rates]
