"""Run a net over its test data and print its mean outputs, as `caffe test` does."""

from __future__ import annotations

import argparse

from caffe_port.cli.flags import add_gpu, add_iterations, add_state

NAME = "test"
HELP = "score a net with given weights on its test data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="FILE", help="the net definition (prototxt)")
    parser.add_argument("--weights", required=True, metavar="FILE", help="its weights (.caffemodel, .caffemodel.h5)")
    add_iterations(parser, "batches to run")
    add_gpu(parser)
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    import numpy as np
    import torch

    from caffe_port import log
    from caffe_port.cli.device import announce
    from caffe_port.cli.net import build_net
    from caffe_port.cli.progress import bar
    from caffe_port.solver.copying import copy_weights
    from caffe_port.solver.scores import Scores

    device = announce(args.gpu, use_cpu="caffe.cpp:275", use_gpu="caffe.cpp:266")
    net = build_net(args.model, "TEST", args.level, args.stage).to(device)
    copy_weights(net, args.weights)
    log.info("caffe.cpp:281", f"Running for {args.iterations} iterations.")
    scores, loss = Scores(), np.float32(0)
    with torch.no_grad(), bar(args.iterations, "test") as shown:
        for batch in range(args.iterations):
            result = net.run()
            loss += np.float32(result.loss.item())
            for name, value in scores.add(result.outputs):
                log.info("caffe.cpp:304", f"Batch {batch}, {name} = {value:g}")
            if shown is not None:
                shown.update(batch + 1)
    log.info("caffe.cpp:309", f"Loss: {loss / np.float32(args.iterations):g}")
    for line in scores.lines(net.loss_weights):
        log.info("caffe.cpp:321", line)
    return 0
