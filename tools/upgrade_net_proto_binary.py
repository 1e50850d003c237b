"""Upgrade a trained net (.caffemodel) of any older format to today's.

python tools/upgrade_net_proto_binary.py NET_IN NET_OUT
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port import log
from caffe_port.cli.tool import Tool
from caffe_port.proto.binary import read_net, write_net
from caffe_port.proto.upgrade import needs_upgrade, upgrade_net

tool = Tool("upgrade_net_proto_binary", __doc__)
tool.add("source", metavar="NET_IN", help="the .caffemodel to read")
tool.add("target", metavar="NET_OUT", help="the .caffemodel to write")


def main(args: argparse.Namespace) -> None:
    net = read_net(args.source)
    if not needs_upgrade(net.param):
        log.error("upgrade_net_proto_binary.cpp:43", f"File already in latest proto format: {args.source}")
    upgraded = upgrade_net(net.param, args.source)
    kept = {layer.name for layer in upgraded.layer}  # V0's padding layers become a field of the next layer
    write_net(args.target, upgraded, [layer for layer in net.layers if layer.name in kept or layer.blobs])
    log.info("upgrade_net_proto_binary.cpp:49", f"Wrote upgraded NetParameter binary proto to {args.target}")


if __name__ == "__main__":
    sys.exit(tool.run(main))
