"""`caffe-port COMMAND ...`: the list of commands, and how every one of them ends.

Exit status: 0 done, 1 an error (one line on standard error; with CAFFE_PORT_TRACEBACK=1 the traceback too), 2 a
command line that makes no sense, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from caffe_port.cli import convert, device_query, inspect, par, test, time, train, validate, weights
from caffe_port.cli.flags import normalise
from caffe_port.errors import CaffeError

COMMANDS = (train, test, time, device_query, inspect, convert, validate, weights, par)
"""In the order of the help. A module gives `NAME`, `HELP`, `add_arguments(parser)` and `run(args) -> exit status`."""

EPILOG = """Flags may be spelt as Caffe's: -solver=x, -solver x, --solver=x and --solver x are the same.
`caffe-port COMMAND --help` describes a command."""


def parser() -> argparse.ArgumentParser:
    """The whole command line. Nothing heavy is imported for it, so that help is quick."""
    top = argparse.ArgumentParser(
        prog="caffe-port",
        description="Caffe on PyTorch: train, test, measure and convert nets from their prototxt files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        sub = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(sub)
        sub.set_defaults(handler=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    names = [module.NAME for module in COMMANDS]
    args = parser().parse_args(normalise(sys.argv[1:] if argv is None else argv, names))
    try:
        return int(args.handler(args) or 0)
    except CaffeError as error:
        return _fail(str(error))
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        print("caffe-port: interrupted", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, by its name: torch itself is slow to import
            raise
        return _fail(
            f"the GPU has too little memory: {str(error).partition('. ')[0]}. A smaller batch_size needs less (a "
            "solver's iter_size makes up for it); so does a GPU that nothing else uses (nvidia-smi lists what does)"
        )


def _fail(message: str) -> int:
    if os.environ.get("CAFFE_PORT_TRACEBACK") == "1":
        import traceback

        traceback.print_exc()
    print(f"caffe-port: error: {message}", file=sys.stderr)
    return 1
