"""Compute the mean image of the images in an LMDB or LevelDB.

    python tools/compute_image_mean.py [FLAGS] INPUT_DB [OUTPUT_FILE]

Writes a .binaryproto, for a layer's `mean_file`, and logs a number a channel, for its `mean_value`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port import log
from caffe_port.cli.progress import bar
from caffe_port.cli.tool import Tool
from caffe_port.data.db import LEVELDB, LMDB
from caffe_port.data.mean import channel_means, compute_mean
from caffe_port.proto.binary import write_blob

tool = Tool("compute_image_mean", __doc__)
tool.add("database", metavar="INPUT_DB", help="the database of the images")
tool.add("output", metavar="OUTPUT_FILE", nargs="?", help="the .binaryproto to write")
tool.add("--backend", choices=("lmdb", "leveldb"), default="lmdb", help="the kind of database (default lmdb)")


def main(args: argparse.Namespace) -> None:
    with bar(1, "images") as shown:

        def progress(done: int, total: int) -> None:
            if shown is not None:
                shown.total = max(total, done)
                shown.update(done)

        mean = compute_mean(args.database, LMDB if args.backend == "lmdb" else LEVELDB, progress)
    if args.output:
        log.info("compute_image_mean.cpp:108", f"Write to {args.output}")
        write_blob(args.output, mean, legacy=True)
    log.info("compute_image_mean.cpp:114", f"Number of channels: {mean.shape[1]}")
    for channel, value in enumerate(channel_means(mean)):
        log.info("compute_image_mean.cpp:119", f"mean_value channel [{channel}]: {value:g}")


if __name__ == "__main__":
    sys.exit(tool.run(main))
