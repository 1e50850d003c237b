"""pycaffe's solvers: the library's own, on the island driver, with pycaffe's nets.

Source of the interface: python/caffe/_caffe.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from caffe_port.errors import SolverError
from caffe_port.proto.load import read_solver
from caffe_port.pycaffe import modes
from caffe_port.pycaffe.net import Net
from caffe_port.solver.base import Solver as TorchSolver


class Solver:
    """A solver of whatever type its file names; `SGDSolver` and its siblings insist on theirs."""

    type: str | None = None

    def __init__(self, solver_file: str | os.PathLike[str]) -> None:
        param = read_solver(solver_file)
        if self.type is not None and param.HasField("type") and param.type != self.type:
            raise SolverError(f"{solver_file} asks for a {param.type} solver, not {self.type}; use caffe.get_solver")
        if self.type is not None:
            param.type = self.type
        self._solver = TorchSolver(param, islands=True, device=modes.device())

    @property
    def param(self) -> Any:
        return self._solver.param

    @cached_property
    def net(self) -> Net:
        return Net.wrap(self._solver.net, self._solver.islands)

    @cached_property
    def test_nets(self) -> list[Net]:
        return [Net.wrap(net) for net in self._solver.test_nets]

    @property
    def iter(self) -> int:
        return self._solver.iter

    @property
    def lr(self) -> float:
        return self._solver.lr

    def step(self, iterations: int) -> None:
        self._solver.step(iterations)

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        self._solver.solve(resume_file)

    def restore(self, path: str | os.PathLike[str]) -> None:
        self._solver.restore(path)

    def snapshot(self) -> None:
        self._solver.snapshot()

    def apply_update(self) -> None:
        self._solver.apply_update()

    def add_callback(self, on_start: Any, on_gradients_ready: Any) -> None:
        self._solver.add_callback(on_start, on_gradients_ready)

    def share_weights(self, net: Net) -> None:
        net.share_with(self.net)


class SGDSolver(Solver):
    type = "SGD"


class NesterovSolver(Solver):
    type = "Nesterov"


class AdaGradSolver(Solver):
    type = "AdaGrad"


class RMSPropSolver(Solver):
    type = "RMSProp"


class AdaDeltaSolver(Solver):
    type = "AdaDelta"


class AdamSolver(Solver):
    type = "Adam"


def get_solver(solver_file: str | os.PathLike[str]) -> Solver:
    return Solver(solver_file)
