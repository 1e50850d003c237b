"""Upgrade a net definition (prototxt) of any older format to today's.

python tools/upgrade_net_proto_text.py NET_IN NET_OUT
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
from caffe_port.proto.upgrade import needs_upgrade, upgrade_net

tool = Tool("upgrade_net_proto_text", __doc__)
tool.add("source", metavar="NET_IN", help="the prototxt to read")
tool.add("target", metavar="NET_OUT", help="the prototxt to write")


def main(args: argparse.Namespace) -> None:
    found = text.read(args.source, caffe_pb2.NetParameter)
    for unknown in found.unknown:
        log.warn("io.cpp:36", f"{args.source}:{unknown}; it is left out")
    if not needs_upgrade(found.message):
        log.error("upgrade_net_proto_text.cpp:43", f"File already in latest proto format: {args.source}")
    upgraded = upgrade_net(found.message, args.source)
    with atomic_write(args.target) as file:
        file.write(text.format(upgraded).encode())
    log.info("upgrade_net_proto_text.cpp:49", f"Wrote upgraded NetParameter text proto to {args.target}")


if __name__ == "__main__":
    sys.exit(tool.run(main))
