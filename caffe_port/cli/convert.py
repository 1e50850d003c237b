"""Convert a model from one format to another; the file names' endings say which.

    caffe-port convert net.caffemodel net.onnx --model deploy.prototxt
    caffe-port convert net.caffemodel net.pt --model deploy.prototxt

What is written is checked before it counts as written. A training net is converted as its deploy net.
"""

from __future__ import annotations

import argparse

NAME = "convert"
HELP = "convert between caffemodel, PyTorch, ONNX and other formats"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="the file to read")
    parser.add_argument("target", metavar="DST", help="the file to write")
    parser.add_argument("--model", metavar="FILE", help="the net definition that the weights belong to (prototxt)")
    parser.add_argument(
        "--input",
        action="append",
        metavar="NAME:SHAPE",
        help="the shape of an input, as data:1,3,224,224; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    from converters import convert

    print(convert(args.source, args.target, model=args.model, input=args.input))
    return 0
