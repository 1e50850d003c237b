"""Measure how long each layer takes, forward and backward, as `caffe time` does."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from caffe_port.cli.flags import add_gpu, add_iterations, add_state

if TYPE_CHECKING:
    import torch

NAME = "time"
HELP = "measure forward and backward of a net, layer by layer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="FILE", help="the net definition (prototxt)")
    add_iterations(parser, "passes to measure")
    add_gpu(parser)
    add_state(parser, phase=True)


def run(args: argparse.Namespace) -> int:
    from caffe_port.cli.device import announce
    from caffe_port.cli.net import build_net
    from caffe_port.cli.progress import bar
    from caffe_port.islands import Islands
    from caffe_port.log import info
    from caffe_port.solver.debug_info import watched

    device = announce(args.gpu, use_cpu="caffe.cpp:343", use_gpu="caffe.cpp:339")
    net = build_net(args.model, args.phase or "TRAIN", args.level, args.stage).to(device)
    islands = Islands(net)
    first = watched(net) if net.definition.debug_info else islands
    info("caffe.cpp:351", "Performing Forward")
    info("caffe.cpp:356", f"Initial loss: {first.forward():g}")
    info("caffe.cpp:357", "Performing Backward")
    first.backward()

    info("caffe.cpp:365", "*** Benchmark begins ***")
    info("caffe.cpp:366", f"Testing for {args.iterations} iterations.")
    count = len(net.graph.nodes)
    forward, backward = [0.0] * count, [0.0] * count
    total = _now(device)
    with bar(args.iterations, "time") as shown:
        for iteration in range(args.iterations):
            start = _now(device)
            for i in range(count):
                forward[i] -= _now(device)
                islands.forward(i, i)
                forward[i] += _now(device)
            for i in reversed(range(count)):
                backward[i] -= _now(device)
                islands.backward(i, i)
                backward[i] += _now(device)
            took = _now(device) - start
            info("caffe.cpp:394", f"Iteration: {iteration + 1} forward-backward time: {took:g} ms.")
            if shown is not None:
                shown.update(iteration + 1)
    total = _now(device) - total

    info("caffe.cpp:397", "Average time per layer: ")
    for node, ahead, back in zip(net.graph.nodes, forward, backward, strict=True):
        info("caffe.cpp:400", f"{node.name:>10}\tforward: {ahead / args.iterations:g} ms.")
        info("caffe.cpp:403", f"{node.name:>10}\tbackward: {back / args.iterations:g} ms.")
    info("caffe.cpp:408", f"Average Forward pass: {sum(forward) / args.iterations:g} ms.")
    info("caffe.cpp:410", f"Average Backward pass: {sum(backward) / args.iterations:g} ms.")
    info("caffe.cpp:412", f"Average Forward-Backward: {total / args.iterations:g} ms.")
    info("caffe.cpp:414", f"Total Time: {total:g} ms.")
    info("caffe.cpp:415", "*** Benchmark ends ***")
    return 0


def _now(device: torch.device) -> float:
    """Milliseconds, with everything that was asked of the device done."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return 1000 * time.perf_counter()
