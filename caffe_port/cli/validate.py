"""Run one net through every engine at hand on the same inputs and compare blob by blob.

    caffe-port validate deploy.prototxt net.caffemodel
    caffe-port validate net.onnx --against onnxruntime

Exit status 1 if any blob differs by more than the tolerance for no known reason.
"""

from __future__ import annotations

import argparse

NAME = "validate"
HELP = "compare a net's blobs between our runtime and other engines"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a prototxt with its WEIGHTS, or a file of net and weights")
    parser.add_argument("weights", metavar="WEIGHTS", nargs="?", help="the weights, where MODEL is a prototxt")
    parser.add_argument(
        "--against", metavar="A,B", help="engines to compare with, by name (default: all that are installed)"
    )
    parser.add_argument(
        "--input",
        action="append",
        metavar="NAME:SHAPE",
        help="the shape of an input, as data:1,3,224,224; may be repeated",
    )
    parser.add_argument("--batch", type=int, metavar="N", help="another batch size than the net's own")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random inputs (default 0)")
    parser.add_argument("--tolerance", type=float, metavar="X", help="relative to each blob's own scale")
    parser.add_argument("--caffe_python", metavar="FILE", help="a Python interpreter that has a genuine Caffe")
    parser.add_argument("--gradients", action="store_true", help="compare diffs as well")
    parser.add_argument("--original", action="store_true", help="give OpenCV and Caffe the two files as they are")
    parser.add_argument("--every", action="store_true", help="list every blob, not only those that differ")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON too")
    parser.add_argument("--html", metavar="FILE", help="write it as a page with a plot of the errors by depth, too")


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from converters import validate as parity

    result = parity.validate(
        args.model,
        args.weights,
        against=args.against.split(",") if args.against else None,
        input=args.input,
        seed=args.seed,
        batch=args.batch,
        tolerance=parity.TOLERANCE if args.tolerance is None else args.tolerance,
        caffe_python=args.caffe_python,
        gradients=args.gradients,
        original=args.original,
    )
    print(parity.format_table(result, every=args.every))
    if args.json:
        Path(args.json).write_text(result.to_json(), encoding="utf-8")
    if args.html:
        from converters.validate_page import html

        Path(args.html).write_text(html(result), encoding="utf-8")
    return 0 if result.ok else 1
