"""Run a net over its test data and print its mean outputs, as `caffe test` does.

In several processes (`torchrun --nproc_per_node=4 -m caffe_port test --model=... --weights=...`) each runs every fourth
batch, and rank 0 prints what one process would have printed; with --skip-bad-records the batches that a bad record was
in are made up of other records than in one process.
"""

from __future__ import annotations

import argparse

from caffe_port.cli.flags import add_gpu, add_iterations, add_skip_bad_records, add_state

NAME = "test"
HELP = "score a net with given weights on its test data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="FILE", help="the net definition (prototxt)")
    parser.add_argument("--weights", required=True, metavar="FILE", help="its weights (.caffemodel, .caffemodel.h5)")
    add_iterations(parser, "batches to run")
    add_gpu(parser)
    add_state(parser)
    add_skip_bad_records(parser)


def run(args: argparse.Namespace) -> int:
    import numpy as np
    import torch

    from caffe_port import log
    from caffe_port.cli.device import announce
    from caffe_port.cli.net import build_net
    from caffe_port.cli.progress import bar
    from caffe_port.cli.train import maybe_skipping, tell_skipped
    from caffe_port.net import Net
    from caffe_port.solver.copying import copy_weights
    from caffe_port.solver.debug_info import watched
    from caffe_port.solver.parallel import joined, local_place
    from caffe_port.solver.scores import Scores
    from caffe_port.solver.sharing import in_turn

    def build() -> Net:
        device = announce(args.gpu, "caffe.cpp:275", "caffe.cpp:266", *local_place())
        with maybe_skipping(args.skip_bad_records):
            net = build_net(args.model, "TEST", args.level, args.stage).to(device)
        copy_weights(net, args.weights)
        return net

    def one_batch() -> tuple[dict[str, torch.Tensor], float]:
        if driver is not None:
            total = driver.forward()
            return {name: net.blobs[name].data.detach().cpu().clone() for name in net.outputs}, total
        result = net.run()
        return {name: output.cpu() for name, output in result.outputs.items()}, result.loss.item()

    with joined() as team:
        net = team.each(build)
        driver = watched(net) if net.definition.debug_info else None
        log.info("caffe.cpp:281", f"Running for {args.iterations} iterations.")
        scores, loss = Scores(), np.float32(0)
        with torch.no_grad(), bar(args.iterations, "test", wanted=team.is_root) as shown:
            for batch, (outputs, own) in enumerate(in_turn(net, args.iterations, one_batch, team)):
                loss += np.float32(own)
                for name, value in scores.add(outputs):
                    log.info("caffe.cpp:304", f"Batch {batch}, {name} = {value:g}")
                if shown is not None:
                    shown.update(batch + 1)
        if team.is_root:
            log.info("caffe.cpp:309", f"Loss: {loss / np.float32(args.iterations):g}")
            for line in scores.lines(net.loss_weights):
                log.info("caffe.cpp:321", line)
        if args.skip_bad_records:
            tell_skipped([net], team)
    return 0
