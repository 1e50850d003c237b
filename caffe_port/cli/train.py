"""Train a net by its solver definition, as `caffe train` does.

Paths inside the solver's and the net's files are relative to the current folder. Ctrl-C stops after the iteration in
progress with a snapshot; SIGHUP writes a snapshot and goes on (see --sigint_effect, --sighup_effect). A resumed run
takes up weights, history and iteration; its data layers begin at the first record again.
"""

from __future__ import annotations

import argparse
from typing import Any

from caffe_port.cli.flags import add_gpu, add_state, positive, stages
from caffe_port.errors import CaffeError

NAME = "train"
HELP = "train a net by its solver definition"
EFFECTS = ("stop", "snapshot", "none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--solver", required=True, metavar="FILE", help="the solver definition (prototxt)")
    parser.add_argument("--weights", metavar="A,B", help="start from these weights (.caffemodel, .caffemodel.h5)")
    parser.add_argument("--snapshot", metavar="FILE", help="resume from this state (.solverstate, .solverstate.h5)")
    parser.add_argument(
        "--iterations",
        type=positive,
        metavar="N",
        help="stop after N iterations of this run, with a snapshot, as Ctrl-C would",
    )
    add_gpu(parser)
    add_state(parser)
    parser.add_argument("--sigint_effect", choices=EFFECTS, default="stop", help="what Ctrl-C does (default stop)")
    parser.add_argument(
        "--sighup_effect", choices=EFFECTS, default="snapshot", help="what SIGHUP does (default snapshot)"
    )


def run(args: argparse.Namespace) -> int:
    from caffe_port import log
    from caffe_port.cli.device import first_of, gpu_ids
    from caffe_port.proto.load import read_solver
    from caffe_port.solver import Solver
    from caffe_port.solver.actions import Action, signals

    if args.snapshot and args.weights:
        raise CaffeError("give a --snapshot to resume training or --weights to finetune, but not both")
    param = read_solver(args.solver)
    param.train_state.level = args.level
    param.train_state.stage.extend(stages(args.stage))
    ids = gpu_ids(args.gpu, param)
    device = first_of(ids, args.gpu)
    if ids:
        import torch

        log.info("caffe.cpp:204", f"Using GPUs {ids[0]}")
        log.info("caffe.cpp:209", f"GPU {ids[0]}: {torch.cuda.get_device_name(ids[0])}")
        param.device_id = ids[0]
    else:
        log.info("caffe.cpp:197", "Use CPU.")
    if args.snapshot or args.weights:
        param.ClearField("weights")
    if args.weights:
        param.weights.append(args.weights)

    with signals(Action(args.sigint_effect), Action(args.sighup_effect)) as poll:
        solver = Solver(param, device=device, poll=poll)
        if args.snapshot:
            log.info("caffe.cpp:235", f"Resuming from {args.snapshot}")
            solver.restore(args.snapshot)
            if any(node.layer.role == "data" for node in solver.net.graph.nodes):
                log.info("data_layer.cpp:73", "Restarting data prefetching from start.")
        if args.iterations:
            _stop_after(solver, args.iterations)
        log.info("caffe.cpp:239", "Starting Optimization")
        _solve(solver)
    log.info("caffe.cpp:250", "Optimization Done.")
    return 0


def _stop_after(solver: Any, iterations: int) -> None:
    from caffe_port.solver.actions import Action

    outside, last = solver.poll, solver.iter + iterations

    def poll() -> Action:
        request = outside()
        return Action.STOP if request is Action.NONE and solver.iter >= last else request

    solver.poll = poll


def _solve(solver: Any) -> None:
    from caffe_port.cli.progress import bar

    with bar(solver.param.max_iter, "train", solver.iter) as shown:
        if shown is not None:
            solver.add_callback(lambda: shown.update(solver.iter, f"loss {solver.recent_loss:.4g}"), lambda: None)
        solver.solve()
