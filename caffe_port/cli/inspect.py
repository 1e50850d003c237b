"""Show what a net is: a table of its layers with top shapes, parameters and multiply-adds, and the totals.

With --preflight instead: everything in the files that cannot be done here, at once, each with its line; exit status 1
if there is anything. It takes nets and solvers, any number, and folders of them, and ends with a summary where there
are several; --json prints all of it as JSON. Both phases are checked unless --phase names one. Data layers whose data
is not here, and Python layers whose module is not, are noted; shapes that only they would tell can be given with
--input.
"""

from __future__ import annotations

import argparse
import json
from math import prod
from typing import Any

from caffe_port.cli.flags import add_state, stages
from caffe_port.errors import CaffeError

NAME = "inspect"
HELP = "print a net's layer table, or with --preflight all that is wrong with it"
HEADER = ("layer", "type", "top shapes", "parameters", "multiply-adds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", metavar="NET", nargs="+", help="the net definition (prototxt)")
    parser.add_argument(
        "--preflight", action="store_true", help="list all problems instead; exit status 1 if there is one"
    )
    parser.add_argument("--json", action="store_true", help="with --preflight: the findings as JSON")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME:SHAPE",
        help="the shape of an input or of a data layer's top, as data:1,3,224,224; may be repeated",
    )
    add_state(parser, phase=True)


def run(args: argparse.Namespace) -> int:
    named = [stage for stage in stages(args.stage) if stage]
    if args.preflight:
        return _preflight(args, named)
    if args.json or len(args.net) > 1:
        raise CaffeError("--json and several files go with --preflight only")
    args.net = args.net[0]

    net = _build(args, named)
    print(f"{net.name or args.net}, phase {args.phase or 'TEST'}")
    print("\n".join(_table(_rows(net))))
    parameters = sum(blob.numel() for blob in net.parameters()) + sum(blob.numel() for blob in net.buffers())
    blobs = sum(prod(top.shape) for node in net.graph.nodes for top in node.tops)
    print(
        f"{len(net.graph.nodes)} layers, {parameters:,} parameters, {net.macs():,} multiply-adds, "
        f"{4 * blobs / 2**20:.1f} MiB of blobs"
    )
    print(f"inputs: {', '.join(net.inputs) or 'none'}; outputs: {', '.join(net.outputs) or 'none'}")
    return 0


def _preflight(args: argparse.Namespace, named: list[str]) -> int:
    from caffe_port.cli import preflight_files

    phases = (args.phase,) if args.phase else ("TRAIN", "TEST")
    paths = list(dict.fromkeys(preflight_files.files(args.net)))
    if not paths:
        raise CaffeError(f"{', '.join(args.net)}: no prototxt in it")
    reports = []
    for path in paths:
        report = preflight_files.check(path, phases, args.level, named, args.input)
        reports.append(report)
        if not args.json:
            print("\n".join(report.lines(notes=len(paths) == 1)), flush=True)
    if args.json:
        print(json.dumps([preflight_files.as_data(report) for report in reports], indent=1))
    elif len(paths) > 1:
        print("\n".join(preflight_files.summary(reports)))
    return 1 if any(report.problems for report in reports) else 0


def _build(args: argparse.Namespace, named: list[str]) -> Any:
    from caffe_port.cli import inputs
    from caffe_port.errors import DataError
    from caffe_port.net import Net
    from caffe_port.proto import caffe_pb2
    from caffe_port.proto.filter import filter_net
    from caffe_port.proto.load import read_net

    phase = caffe_pb2.Phase.Value(args.phase or "TEST")
    param = read_net(args.net)
    given = inputs.parse(args.input)
    if given:
        param = inputs.replace(filter_net(param, phase, args.level, named), given)
    try:
        return Net(param, phase, args.level, named)
    except DataError as error:
        raise DataError(
            f"{error}; without the data, give the shapes: --input data:1,3,224,224 --input label:1"
        ) from error


def _rows(net: Any) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for node in net.graph.nodes:
        shapes = " ".join("x".join(map(str, top.shape)) or "scalar" for top in node.tops)
        own = sum(
            getattr(node.layer, name).numel() for name in node.layer.present_blobs if name not in node.layer.shared
        )
        macs = node.layer.macs([b.shape for b in node.bottoms], [t.shape for t in node.tops])
        rows.append((node.name, node.param.type, shapes, f"{own:,}" if own else "", f"{macs:,}" if macs else ""))
    return rows


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    right = (3, 4)

    def line(row: tuple[str, ...]) -> str:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return [line(HEADER), line(tuple("-" * w for w in widths)), *map(line, rows)]
