"""pycaffe's solvers: the library's own, on the island driver, with pycaffe's nets.

Source of the interface: python/caffe/_caffe.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

from caffe_port.errors import SolverError
from caffe_port.proto.load import read_solver
from caffe_port.pycaffe import host, modes
from caffe_port.pycaffe.net import Net
from caffe_port.solver.base import Solver as TorchSolver

Callback = Callable[[], object]


class Solver:
    """A solver of whatever type its file names; `SGDSolver` and the classes that derive from it insist on theirs."""

    type: str | None = None

    def __init__(self, solver_file: str | os.PathLike[str]) -> None:
        param = read_solver(solver_file)
        if self.type is not None and param.HasField("type") and param.type != self.type:
            raise SolverError(f"{solver_file} asks for a {param.type} solver, not {self.type}; use caffe.get_solver")
        if self.type is not None:
            param.type = self.type
        self._own = TorchSolver(param, islands=True, device=modes.device())

    @property
    def _solver(self) -> TorchSolver:
        """The solver, with all that was written into its nets' lent arrays."""
        host.settle()
        return self._own

    @property
    def param(self) -> Any:
        return self._own.param

    @cached_property
    def net(self) -> Net:
        return Net.wrap(self._own.net, self._own.islands)

    @cached_property
    def test_nets(self) -> list[Net]:
        return [Net.wrap(net, run) for net, run in zip(self._own.test_nets, self._own.test_islands, strict=True)]

    @property
    def iter(self) -> int:
        return self._own.iter

    @property
    def lr(self) -> float:
        return self._own.lr

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

    def add_callback(self, on_start: Callback, on_gradients_ready: Callback) -> None:
        """`on_start()` before an iteration's passes, `on_gradients_ready()` before its update."""
        self._own.add_callback(host.settling(on_start), host.settling(on_gradients_ready))

    def share_weights(self, net: Net) -> None:
        net.share_with(self.net)


class SGDSolver(Solver):
    type = "SGD"


class NesterovSolver(SGDSolver):
    type = "Nesterov"


class AdaGradSolver(SGDSolver):
    type = "AdaGrad"


class RMSPropSolver(SGDSolver):
    type = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    type = "AdaDelta"


class AdamSolver(SGDSolver):
    type = "Adam"


TYPES = (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)


def get_solver(solver_file: str | os.PathLike[str]) -> Solver:
    """The solver of the class that the file's `type` names."""
    wanted = read_solver(solver_file).type
    return next((cls for cls in TYPES if cls.type == wanted), Solver)(solver_file)
