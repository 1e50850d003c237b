"""`caffe-port COMMAND ...`: the list of commands. `ending.py` says what their exit statuses mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from caffe_port import __version__
from caffe_port.cli import convert, device_query, inspect, par, test, time, train, validate, weights
from caffe_port.cli.ending import status
from caffe_port.cli.flags import Parser, add_log, add_unused, normalise, tell_unused

CAFFES = (train, test, time, device_query)
COMMANDS = (*CAFFES, inspect, convert, validate, weights, par)
"""In the order of the help. A module gives `NAME`, `HELP`, `add_arguments(parser)` and `run(args) -> exit status`."""

EPILOG = """Flags may be spelt as Caffe's: -solver=x, -solver x, --solver=x and --solver x are the same.
`caffe-port COMMAND --help` describes a command."""


def parser() -> Parser:
    """The whole command line. Nothing heavy is imported for it, so that help is quick."""
    top = Parser(
        prog="caffe-port",
        description="Caffe on PyTorch: train, test, measure and convert nets from their prototxt files.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"caffe-port version {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        sub = commands.add_parser(module.NAME, help=module.HELP, description=module.__doc__)
        module.add_arguments(sub)
        if module in CAFFES:
            add_log(sub)
            add_unused(sub)
        sub.set_defaults(handler=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    names = [module.NAME for module in COMMANDS]
    args = parser().parse_args(normalise(sys.argv[1:] if argv is None else argv, names))
    return status("caffe-port", _run, args)


def _run(args: argparse.Namespace) -> int:
    tell_unused(args)
    return args.handler(args)
