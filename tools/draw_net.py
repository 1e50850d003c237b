"""Draw a net's architecture as SVG or PNG, by the ending of the file's name.

python tools/draw_net.py NET.prototxt PICTURE.svg [--rankdir TB] [--phase TEST] [--display_lrm]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.atomic import atomic_write
from caffe_port.cli.drawing.net import RANKDIRS, draw
from caffe_port.cli.drawing.picture import svg
from caffe_port.cli.drawing.png import png
from caffe_port.cli.tool import Tool
from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2
from caffe_port.proto.load import read_net

tool = Tool("draw_net", __doc__)
tool.add("net", metavar="NET", help="the net definition (prototxt)")
tool.add("picture", metavar="PICTURE", help="the picture to write (.svg or .png)")
tool.add("--rankdir", choices=RANKDIRS, default="LR", help="TB: from top to bottom; LR: left to right (default LR)")
tool.add("--phase", choices=("TRAIN", "TEST", "ALL"), default="ALL", help="the layers of one phase, or ALL (default)")
tool.switch("display_lrm", "show the learning rate multipliers")


def main(args: argparse.Namespace) -> None:
    kind = Path(args.picture).suffix.lower()
    if kind not in (".svg", ".png"):
        raise NetError(f"{args.picture}: the picture's name must end in .svg or .png")
    phase = None if args.phase == "ALL" else caffe_pb2.Phase.Value(args.phase)
    picture = draw(read_net(args.net), args.rankdir, phase, args.display_lrm)
    print(f"Drawing net to {args.picture}")
    with atomic_write(args.picture) as file:
        file.write(svg(picture).encode() if kind == ".svg" else png(picture))


if __name__ == "__main__":
    sys.exit(tool.run(main))
