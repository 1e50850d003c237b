"""Upgrade a solver definition (prototxt) with the old `solver_type` to today's `type`.

python tools/upgrade_solver_proto_text.py SOLVER_IN SOLVER_OUT
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port import log
from caffe_port.atomic import atomic_write
from caffe_port.cli.tool import Tool
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.upgrade import upgrade_solver

tool = Tool("upgrade_solver_proto_text", __doc__)
tool.add("source", metavar="SOLVER_IN", help="the prototxt to read")
tool.add("target", metavar="SOLVER_OUT", help="the prototxt to write")


def main(args: argparse.Namespace) -> None:
    found = text.read(args.source, caffe_pb2.SolverParameter)
    for unknown in found.unknown:
        log.warn("io.cpp:36", f"{args.source}:{unknown}; it is left out")
    if not found.message.HasField("solver_type"):
        log.error("upgrade_solver_proto_text.cpp:43", f"File already in latest proto format: {args.source}")
    upgraded = upgrade_solver(found.message, args.source)
    with atomic_write(args.target) as file:
        file.write(text.format(upgraded).encode())
    log.info("upgrade_solver_proto_text.cpp:49", f"Wrote upgraded SolverParameter text proto to {args.target}")


if __name__ == "__main__":
    sys.exit(tool.run(main))
