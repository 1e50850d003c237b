"""Training in several processes, on one machine or many, with Caffe's parallel meaning, over torch.distributed.

    torchrun --nproc_per_node=4 -m caffe_port train --solver=solver.prototxt

Rank r of n reads the records r, r + n, r + 2n, ...; the diffs are summed over the ranks and divided by n before they
are clipped, normalised and regularised, so that every rank makes the same update; rank 0 tests, logs and writes
snapshots, with its own BatchNorm statistics. Source: `NCCL<Dtype>` in src/caffe/parallel.cpp, and src/caffe/solver.cpp.

For a net whose outputs do not depend on a batch as a whole, n ranks of batch b are one process of batch n * b, to
rounding. BatchNorm normalises each rank's batch by itself, as in Caffe, unless `sync_bn` is asked for; a loss that
divides by the number of labels that count (`ignore_label`) divides by each rank's own number, as in Caffe.

Two kinds of messages: the diffs go through NCCL (GPUs) or Gloo; agreements (stop, snapshot, states of the data layers)
through a Gloo group of their own, which waits as long as rank 0 tests, and notices at once when a process is gone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from caffe_port import log
from caffe_port.errors import CaffeError, SolverError
from caffe_port.layers.base import TRAIN
from caffe_port.solver.actions import Action
from caffe_port.solver.reducer import Reducer
from caffe_port.solver.team import Team

if TYPE_CHECKING:
    from caffe_port.solver.base import Solver

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # for agreements: rank 0 may test for long
LIMIT = timedelta(minutes=30)  # for diffs, which start when all ranks have come through an agreement
GRACE = 5.0  # seconds that other ranks leave rank 0, and torchrun, to say that a process is gone
STRENGTH = [Action.NONE, Action.SNAPSHOT, Action.STOP]


@contextlib.contextmanager
def joined(sync_bn: bool = False) -> Iterator[Team]:
    """The team that the environment tells of (torchrun sets it: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT).

    Without WORLD_SIZE, or with 1, it is a team of one. Leaving the block waits for the other processes; leaving it by
    an error does not, and the others find out.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise SolverError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} must be set too; start with torchrun, "
            "or unset WORLD_SIZE to train in one process"
        )
    gpu = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=LIMIT)
        team = Ranks(sync_bn)
    except (RuntimeError, ValueError) as e:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise SolverError(f"rank {os.environ['RANK']} cannot join the other processes at {where}: {_first(e)}") from e
    if not team.is_root:
        log.redirect(_WarningsOnly())
    try:
        yield team
        team.any(False)
    except BaseException:
        atexit.register(_end_at_once)
        raise
    finally:
        log.redirect(None)
    dist.destroy_process_group()


def _end_at_once() -> None:
    """How a process ends that leaves others behind: in order it would wait for them, or abort in Gloo's threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def local_place() -> tuple[int, int]:
    """Number of this process among those of its machine, and how many these are."""
    return int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class Ranks(Team):
    """One of several processes. Made by `joined`."""

    def __init__(self, sync_bn: bool = False) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.sync_bn = sync_bn
        self.control = dist.new_group(backend="gloo", timeout=PATIENCE)
        # Sums inside the passes must not stand in one queue with the diffs: their order is another matter.
        self.statistics = dist.new_group(timeout=LIMIT) if sync_bn else None
        self.postponed = Action.NONE
        self.reducer: Reducer | None = None
        self.solver: Solver | None = None

    def own(self, param: Any) -> Any:
        """The root's seed, so that all build the same net and read data in the same order; tests for the root only."""
        out = type(param)()
        out.CopyFrom(param)
        out.random_seed = self.share(param.random_seed if param.random_seed >= 0 else torch.seed() % 2**31)
        if not self.is_root:
            for field in ("test_iter", "test_net", "test_net_param", "test_state"):
                out.ClearField(field)
        return out

    def start(self, solver: Solver) -> None:
        self.solver = solver
        for node in solver.net.graph.nodes:
            layer: Any = node.layer
            if hasattr(layer, "set_rank"):
                layer.set_rank(self.rank, self.world)
            elif layer.role == "data":
                log.info("parallel.cpp:278", f"{layer.title}: every process makes its own batches")
        if self.rank:  # the root goes on with the stream that a single process would have
            torch.manual_seed(solver.param.random_seed + self.rank)
        if self.sync_bn:
            self._share_statistics(solver)
        self.spread(solver)
        parameters = [e.tensor for e in solver.net.learnable if e.tensor.requires_grad]
        self.reducer = Reducer([p for p in parameters if isinstance(p, nn.Parameter)], self.world, self._send)

    def spread(self, solver: Solver) -> None:
        with self._talk(), torch.no_grad():
            for tensor in [entry.tensor for entry in solver.net.learnable] + solver.history:
                dist.broadcast(tensor, 0)
        solver.take_position(*self.share((solver.iter, solver.current_step)))

    def each(self, work: Callable[[], T]) -> T:
        """Of several errors only one is raised; the other processes end without a word."""
        error: Exception | None = None
        try:
            made = work()
        except (CaffeError, OSError) as e:
            error = e
        failed = self._all(error is not None)
        if error is not None and failed.index(True) == self.rank:
            raise error
        if any(failed):
            raise SystemExit(1)
        return made

    def any(self, flag: bool) -> bool:
        return bool(self._most(int(flag)))

    def agreed(self, request: Action) -> Action:
        strongest = max(STRENGTH.index(request), STRENGTH.index(self.postponed))
        self.postponed = Action.NONE
        return STRENGTH[self._most(strongest)]

    def postpones(self, request: Action) -> bool:
        self.postponed = request
        return True

    def last_pass(self) -> None:
        assert self.reducer is not None, "start comes first"
        self.reducer.arm()

    def finish_diffs(self) -> None:
        assert self.reducer is not None, "start comes first"
        with self._talk():
            self.reducer.finish()

    def gather(self, value: T) -> list[T]:
        values: list[Any] | None = [None] * self.world if self.is_root else None
        with self._talk():
            dist.gather_object(value, values, dst=0, group=self.control)
        return values or []

    def share(self, value: T) -> T:
        box = [value]
        with self._talk():
            dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def total(self, values: Tensor) -> Tensor:
        """The differentiable sum over the ranks, for statistics of all their batches."""
        return _Total.apply(values, self._total)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _share_statistics(self, solver: Solver) -> None:
        for node in solver.net.graph.nodes:
            if hasattr(node.layer, "total") and node.layer.phase == TRAIN:
                node.layer.total = self.total  # type: ignore[assignment]

    def _send(self, flat: Tensor) -> Any:
        with self._talk():
            return dist.all_reduce(flat, async_op=True)

    def _total(self, values: Tensor) -> Tensor:
        out = values.clone(memory_format=torch.contiguous_format)
        with self._talk():
            dist.all_reduce(out, group=self.statistics)
        return out

    def _most(self, number: int) -> int:
        box = torch.tensor([number])
        with self._talk():
            dist.all_reduce(box, dist.ReduceOp.MAX, group=self.control)
        return int(box)

    def _all(self, flag: bool) -> list[bool]:
        flags = torch.zeros(self.world, dtype=torch.int64)
        flags[self.rank] = flag
        with self._talk():
            dist.all_reduce(flags, group=self.control)
        return [bool(f) for f in flags]

    @contextlib.contextmanager
    def _talk(self) -> Iterator[None]:
        """Errors of the connection as one error that says what to do. Rank 0 speaks first."""
        try:
            yield
        except RuntimeError as e:
            if not self.is_root:
                time.sleep(GRACE)
            last = self.solver.last_snapshot if self.solver is not None else None
            way_out = f"start again with --snapshot={last}" if last else "no snapshot has been written in this run"
            raise SolverError(
                f"rank {self.rank}: another process of this run is gone or does not answer ({_first(e)}); "
                f"what it said is in its own output. Training stops; {way_out}"
            ) from e


class _Total(torch.autograd.Function):
    """Sum over the ranks; the gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, total: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.total = total
        return total(values)

    @staticmethod
    def backward(ctx: Any, diff: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.total(diff), None


class _WarningsOnly:
    """For log.redirect: what ranks other than 0 let through to standard error."""

    def __init__(self) -> None:
        self.speaks = False

    def write(self, text: str) -> int:
        if text != "\n":
            self.speaks = text.startswith("W")
        return sys.stderr.write(text) if self.speaks else len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _first(error: BaseException) -> str:
    """The first sentence of an error's text, without the place in torch's source that some begin with."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].rpartition("] ")[2] if lines[0].startswith("[/") else lines[0]
    return line.partition(". ")[0]
