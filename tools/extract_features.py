"""Run a trained net over its data layer and save blobs of it as features.

    python tools/extract_features.py WEIGHTS NET BLOB1[,BLOB2,...] DB1[,DB2,...] BATCHES lmdb|leveldb [CPU|GPU] [DEVICE]

Under torchrun (torchrun --nproc_per_node=4 tools/extract_features.py ...) processes share the batches, each on a GPU
of its own if GPU is given, and the databases are the same.

NET is a prototxt with a data layer; it is built for the TEST phase. Each blob goes to its own new database.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.cli.flags import positive
from caffe_port.cli.progress import bar
from caffe_port.cli.tool import Tool

tool = Tool("extract_features", __doc__)
tool.add("weights", metavar="WEIGHTS", help="the trained net (.caffemodel, .caffemodel.h5)")
tool.add("net", metavar="NET", help="the net definition (prototxt)")
tool.add("blobs", metavar="BLOBS", help="the blobs' names, separated by commas")
tool.add("databases", metavar="DATABASES", help="the databases to make, as many")
tool.add("batches", metavar="BATCHES", type=positive, help="batches to run")
tool.add("backend", metavar="lmdb|leveldb", choices=("lmdb", "leveldb"), help="the kind of database")
tool.add("mode", metavar="CPU|GPU", nargs="?", default="CPU", help="where to run (default CPU)")
tool.add("device", metavar="DEVICE", nargs="?", type=int, default=0, help="the GPU's number (default 0)")


def main(args: argparse.Namespace) -> None:
    from caffe_port import log
    from caffe_port.cli.device import first_of, gpu_ids, of_process
    from caffe_port.cli.features import check, extract
    from caffe_port.data.db import LEVELDB, LMDB
    from caffe_port.layers.base import TEST
    from caffe_port.net import Net
    from caffe_port.proto.load import read_net
    from caffe_port.solver.copying import copy_weights
    from caffe_port.solver.parallel import joined, local_place

    def build() -> Net:
        ids = []
        if args.mode == "GPU":
            log.error("extract_features.cpp:52", "Using GPU")
            log.error("extract_features.cpp:58", f"Using Device_id={args.device}")
            ids = of_process(gpu_ids(str(args.device)), None, *local_place())
        else:
            log.error("extract_features.cpp:62", "Using CPU")
        param = read_net(args.net)
        param.state.level = 0  # Caffe sets it, which shows in the log
        net = Net(param, phase=TEST, log=True)
        copy_weights(net, args.weights)
        net.to(first_of(ids, None))
        check(net, blobs, databases, args.net)
        return net

    blobs, databases = args.blobs.split(","), args.databases.split(",")
    backend = LMDB if args.backend == "lmdb" else LEVELDB
    with joined() as team, bar(args.batches, "batches", wanted=team.is_root) as shown:
        progress = shown.update if shown else (lambda done: None)
        extract(team.each(build), blobs, databases, args.batches, backend, progress, team)


if __name__ == "__main__":
    sys.exit(tool.run(main))
