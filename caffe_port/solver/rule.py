"""What an update rule is, and the registry of the six.

A rule turns diffs into what is subtracted from the data. It is written over the lists of all parameters at once
(torch's `_foreach_*` operations: one call for the whole net, not one a blob), and holds no state: the history is the
solver's, in the order in which a `.solverstate` keeps it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.errors import SolverError


def single(value: float) -> float:
    """`value` rounded to single precision, as every coefficient in Caffe's solvers is."""
    return float(np.float32(value))


class Rule:
    """Base of the update rules. A subclass names Caffe's formula in its docstring and writes it in `update`."""

    slots: ClassVar[int] = 1
    """History blobs a parameter: a `.solverstate` has the first of every parameter, then the second of every one."""

    def __init__(self, param: Any) -> None:
        self.param = param
        self.momentum = single(param.momentum)
        self.delta = single(param.delta)
        self.check()

    def check(self) -> None:
        """Raise SolverError for settings that Caffe refuses."""

    def update(self, diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int) -> None:
        """Turn `diffs` into the values to subtract and bring `history` up to date, both in place.

        `rates`: the iteration's rate times each parameter's lr_mult, in single precision. Called without autograd.
        """
        raise NotImplementedError(type(self).__name__)

    def apply(
        self, data: list[Tensor], diffs: list[Tensor], history: list[Tensor], rates: list[float], iteration: int
    ) -> None:
        """`update`, and subtract. A rule may do both in fewer passes; the diffs then hold no update afterwards."""
        self.update(diffs, history, rates, iteration)
        torch._foreach_sub_(data, diffs)


RULES: dict[str, type[Rule]] = {}


def register(cls: type[Rule]) -> type[Rule]:
    """Class decorator: the rule answers to its class name, which is Caffe's `type`."""
    RULES[cls.__name__] = cls
    return cls


def rule(param: Any) -> Rule:
    """The rule that `param.type` names."""
    if param.type not in RULES:
        raise SolverError(f"type: unknown solver type '{param.type}'; known types are {', '.join(sorted(RULES))}")
    return RULES[param.type](param)
