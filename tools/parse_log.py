"""Parse a training log into two CSV files: LOG.train and LOG.test in OUTPUT_DIR.

python tools/parse_log.py LOG OUTPUT_DIR [--verbose] [--delimiter ,]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.cli.tool import Tool
from caffe_port.cli.training_log import tables, write_csv

tool = Tool("parse_log", __doc__)
tool.add("log", metavar="LOG", help="the log file of `caffe train`")
tool.add("folder", metavar="OUTPUT_DIR", help="where the CSV files go")
tool.switch("verbose", "print which files were written")
tool.add("--delimiter", default=",", metavar="C", help="between the columns (default ,)")


def main(args: argparse.Namespace) -> None:
    if len(args.delimiter) != 1:
        tool.parser.error(f"--delimiter is one character, not '{args.delimiter}'")
    for kind, rows in zip(("train", "test"), tables(args.log), strict=True):
        path = Path(args.folder) / f"{Path(args.log).name}.{kind}"
        if rows:
            write_csv(path, rows, args.delimiter)
        if args.verbose:
            print(f"Wrote {path}" if rows else f"Not writing {path}; no lines to write")


if __name__ == "__main__":
    sys.exit(tool.run(main))
