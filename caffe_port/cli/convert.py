"""Convert a model from one format to another; the file names' endings say which.

    caffe-port convert net.caffemodel net.onnx --model deploy.prototxt
    caffe-port convert net.caffemodel net.pt --model deploy.prototxt
    caffe-port convert models/ converted/ --to .onnx --jobs 4

What is written is checked before it counts as written. A training net is converted as its deploy net. Of two folders,
every file of weights in the first goes with the prototxt beside it; what is newer in the second is left alone, so an
interrupted run goes on where it stopped. Exit status 1 if any file failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from caffe_port.cli.flags import positive
from caffe_port.errors import ConvertError

NAME = "convert"
HELP = "convert between caffemodel, PyTorch, ONNX and other formats"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="the file to read, or a folder of them")
    parser.add_argument("target", metavar="DST", help="the file to write, or a folder for them")
    parser.add_argument("--model", metavar="FILE", help="the net definition that the weights belong to (prototxt)")
    parser.add_argument(
        "--input",
        action="append",
        metavar="NAME:SHAPE",
        help="the shape of an input, as data:1,3,224,224; may be repeated",
    )
    parser.add_argument("--no_check", action="store_true", help="do not prove what was written")
    parser.add_argument("--fuse", action="store_true", help="join BatchNorm and Scale into the layers before them")
    parser.add_argument("--names", metavar="MAP", help="a map of foreign names (weights/maps/*.yaml), read or written")
    parser.add_argument("--adapt_input", action="store_true", help="with --names: take the target's kind of pictures")
    parser.add_argument("--reverse", action="store_true", help="with --names: the map the other way round")
    onnx = parser.add_argument_group("ONNX")
    for name, what in (("dynamic_batch", "any batch size"), ("external_data", "weights in a file of their own")):
        onnx.add_argument(f"--{name}", action="store_true", default=None, help=f"{what}; default: where it serves")
        onnx.add_argument(f"--no_{name}", action="store_false", dest=name, help="never")
    onnx.add_argument("--dynamic_size", action="store_true", default=None, help="any height and width, where it works")
    folders = parser.add_argument_group("folders")
    folders.add_argument("--to", metavar="EXT", help="the format to write (default .onnx)")
    folders.add_argument("--jobs", type=positive, metavar="N", help="files at a time (default: one a core)")


def run(args: argparse.Namespace) -> int:
    options: dict[str, Any] = {"input": args.input, "check": not args.no_check, "fuse": args.fuse}
    if args.names:
        options |= {"names": args.names, "adapt_input": args.adapt_input, "reverse": args.reverse}
    elif args.adapt_input or args.reverse:
        raise ConvertError("--adapt_input and --reverse go with --names")
    for name in ("dynamic_batch", "dynamic_size", "external_data"):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    return (_folder if Path(args.source).is_dir() else _file)(args, options)


def _file(args: argparse.Namespace, options: dict[str, Any]) -> int:
    from converters import convert

    if args.to or args.jobs:
        raise ConvertError(f"--to and --jobs are for folders; {args.source} is none")
    print(convert(args.source, args.target, model=args.model, **options))
    return 0


def _folder(args: argparse.Namespace, options: dict[str, Any]) -> int:
    from converters.folder import convert_folder

    if args.model:
        raise ConvertError("--model is for one file; in a folder each file's net is the prototxt of its name beside it")

    def tell(line: str, done: int, of: int) -> None:
        print(f"[{done}/{of}] {line}", file=sys.stderr, flush=True)

    report = convert_folder(args.source, args.target, args.to or ".onnx", args.jobs, tell, **options)
    print(report)
    return 0 if report.ok else 1
