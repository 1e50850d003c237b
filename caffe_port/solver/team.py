"""The processes that train one net together, as the solver sees them; here the one process that is by itself.

`parallel.py` has the team of several. The solver calls every method at the same points of its loop in every process:
what is a plain value here is an agreement there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from caffe_port.solver.actions import Action

if TYPE_CHECKING:
    from caffe_port.solver.base import Solver

T = TypeVar("T")


class Team:
    """A team of one. `rank` of `world`; rank 0, the root, alone tests, logs and writes snapshots."""

    rank = 0
    world = 1

    @property
    def is_root(self) -> bool:
        return self.rank == 0

    def own(self, param: Any) -> Any:
        """This process's part of a solver definition."""
        return param

    def start(self, solver: Solver) -> None:
        """Give every process its part of the data, its random stream, and the root's weights. Once, before training."""

    def spread(self, solver: Solver) -> None:
        """Give every process the root's iteration, weights and history."""

    def each(self, work: Callable[[], T]) -> T:
        """Do the same work in every process; where it fails in one, it fails in all."""
        return work()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in one process at least. The wait for the slowest has no practical limit."""
        return flag

    def agreed(self, request: Action) -> Action:
        """The strongest request that any process has."""
        return request

    def postpones(self, request: Action) -> bool:
        """Whether a request that reached the root alone has to wait for the next agreement."""
        return False

    def last_pass(self) -> None:
        """The next backward pass completes the diffs of this iteration."""

    def finish_diffs(self) -> None:
        """Make every diff the mean over the processes."""

    def gather(self, value: T) -> list[T]:
        """The values of all processes, by rank, in the root; an empty list elsewhere."""
        return [value]

    def share(self, value: T) -> T:
        """The root's value."""
        return value
