"""Train a net by its solver definition, as `caffe train` does.

Paths inside the solver's and the net's files are relative to the current folder. Ctrl-C stops after the iteration in
progress with a snapshot; SIGHUP writes a snapshot and goes on (see --sigint_effect, --sighup_effect).

Resuming (--snapshot) takes up weights, history and iteration; the data layers begin at the first record again, as in
Caffe. Snapshots written with --exact-resume have a third file, PREFIX_iter_N.resume, and resuming with --exact-resume
goes on with the next record and the same random numbers: bit for bit the uninterrupted run, on the same machine.
A snapshot is whole or not there, whenever the run is killed; temporary files (.*.part) of a killed run may be deleted.

Several processes train one net, on one machine or many:

    torchrun --nproc_per_node=4 -m caffe_port train --solver=solver.prototxt --gpu=all

Rank r of n reads records r, r + n, ...; diffs are summed and divided by n; rank 0 tests, logs and writes snapshots. The
effective batch is n times the definition's. BatchNorm's statistics are each process's own, unless --sync-bn is given.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from caffe_port.cli.flags import add_gpu, add_skip_bad_records, add_state, positive, stages
from caffe_port.errors import CaffeError

if TYPE_CHECKING:
    import torch

    from caffe_port.net import Net
    from caffe_port.solver.team import Team

NAME = "train"
HELP = "train a net by its solver definition"
EFFECTS = ("stop", "snapshot", "none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--solver", required=True, metavar="FILE", help="the solver definition (prototxt)")
    parser.add_argument("--weights", metavar="A,B", help="start from these weights (.caffemodel, .caffemodel.h5)")
    parser.add_argument("--snapshot", metavar="FILE", help="resume from this state (.solverstate, .solverstate.h5)")
    parser.add_argument(
        "--exact_resume",
        action="store_true",
        help="write snapshots that a run can go on from bit for bit, and resume so",
    )
    parser.add_argument(
        "--iterations",
        type=positive,
        metavar="N",
        help="stop after N iterations of this run, with a snapshot, as Ctrl-C would",
    )
    add_gpu(parser)
    add_state(parser)
    add_skip_bad_records(parser)
    parser.add_argument(
        "--sync_bn",
        action="store_true",
        help="in several processes: normalise by the statistics of all their batches (absent: each by its own)",
    )
    parser.add_argument("--sigint_effect", choices=EFFECTS, default="stop", help="what Ctrl-C does (default stop)")
    parser.add_argument(
        "--sighup_effect", choices=EFFECTS, default="snapshot", help="what SIGHUP does (default snapshot)"
    )


def run(args: argparse.Namespace) -> int:
    from caffe_port import log
    from caffe_port.solver.actions import Action, signals
    from caffe_port.solver.parallel import joined

    if args.snapshot and args.weights:
        raise CaffeError("give a --snapshot to resume training or --weights to finetune, but not both")
    with signals(Action(args.sigint_effect), Action(args.sighup_effect)) as poll, joined(args.sync_bn) as team:
        param, device = team.each(lambda: _start(args, team))
        param = team.own(param)
        solver = team.each(lambda: _build(args, param, device, poll, team))
        team.start(solver)
        if args.snapshot:
            _resume(args, solver)
        if args.iterations:
            _stop_after(solver, args.iterations)
        log.info("caffe.cpp:239", "Starting Optimization")
        _solve(solver)
        if args.skip_bad_records:
            tell_skipped([solver.net, *solver.test_nets], team)
        log.info("caffe.cpp:250", "Optimization Done.")
    return 0


def _start(args: argparse.Namespace, team: Team) -> tuple[Any, torch.device]:
    """The solver's definition with what the command line adds, and the device."""
    import torch

    from caffe_port import log
    from caffe_port.cli.device import first_of, gpu_ids, of_process
    from caffe_port.proto.load import read_solver
    from caffe_port.solver.parallel import local_place

    param = read_solver(args.solver)
    param.train_state.level = args.level
    param.train_state.stage.extend(stages(args.stage))
    ids = of_process(gpu_ids(args.gpu, param), args.gpu, *local_place())
    device = first_of(ids, args.gpu)
    if ids:
        log.info("caffe.cpp:204", f"Using GPUs {ids[0]}")
        log.info("caffe.cpp:209", f"GPU {ids[0]}: {torch.cuda.get_device_name(ids[0])}")
        param.device_id = ids[0]
    else:
        log.info("caffe.cpp:197", "Use CPU.")
    if team.world > 1:
        log.info("parallel.cpp:278", f"Training in {team.world} processes; the lines are those of rank 0")
    if args.snapshot or args.weights:
        param.ClearField("weights")
    if args.weights:
        param.weights.append(args.weights)
    return param, device


def _build(args: argparse.Namespace, param: Any, device: torch.device, poll: Any, team: Team) -> Any:
    import torch

    from caffe_port.solver import Solver

    if param.random_seed < 0:
        torch.seed()  # without a seed every run is another one, as in Caffe; torch itself begins with a fixed one
    with maybe_skipping(args.skip_bad_records):
        solver = Solver(
            param, device=device, poll=poll, log_nets=team.is_root, exact_resume=args.exact_resume, team=team
        )
    return solver


def _resume(args: argparse.Namespace, solver: Any) -> None:
    from pathlib import Path

    from caffe_port import log
    from caffe_port.solver.resume import file_name

    log.info("caffe.cpp:235", f"Resuming from {args.snapshot}")
    solver.restore(args.snapshot)
    if args.exact_resume:
        log.info("caffe.cpp:235", "The data layers and random streams go on where they were.")
        return
    if any(node.layer.role == "data" for node in solver.net.graph.nodes):
        log.info("data_layer.cpp:73", "Restarting data prefetching from start.")
    exact = file_name(args.snapshot)
    if Path(exact).is_file():
        log.info("caffe.cpp:235", f"{exact} is not used; --exact-resume would go on where the data was")


def _stop_after(solver: Any, iterations: int) -> None:
    from caffe_port.solver.actions import Action

    outside, last = solver.poll, solver.iter + iterations

    def poll() -> Action:
        request = outside()
        return Action.STOP if request is Action.NONE and solver.iter >= last else request

    solver.poll = poll


def _solve(solver: Any) -> None:
    from caffe_port.cli.progress import bar

    with bar(solver.param.max_iter, "train", solver.iter, wanted=solver.team.is_root) as shown:
        if shown is not None:
            solver.add_callback(lambda: shown.update(solver.iter, f"loss {solver.recent_loss:.4g}"), lambda: None)
        solver.solve()


# -- what `test` needs too -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def maybe_skipping(skip: bool) -> Iterator[None]:
    """Nets built inside leave bad records out, if `skip`."""
    from caffe_port.data.loader import skipping_bad_records

    with skipping_bad_records() if skip else contextlib.nullcontext():
        yield


def tell_skipped(nets: list[Net], team: Team) -> None:
    """The line with the number of bad records, over all processes."""
    from caffe_port import log

    counts = team.gather(sum(getattr(layer, "skipped", 0) for net in nets for layer in net.layers))
    if counts:
        log.info("data_layer.cpp:107", f"Skipped {sum(counts)} bad records.")
