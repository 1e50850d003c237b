"""How the scripts of tools/ read their command line and end: as the `caffe-port` command, with gflags' spellings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from caffe_port.cli.ending import status
from caffe_port.cli.flags import Parser, add_log, normalise


class Tool:
    """One script: its flags, and `tool.run(main)`, which does what it does with its parsed arguments."""

    def __init__(self, name: str, description: str | None) -> None:
        self.name = name
        self.parser = Parser(prog=name, description=description)
        self.add = self.parser.add_argument
        add_log(self.parser)

    def switch(self, name: str, help: str) -> None:
        self.parser.add_argument(f"--{name}", action="store_true", help=help)

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        return self.parser.parse_args(normalise(sys.argv[1:] if argv is None else argv))

    def run(self, job: Callable[[argparse.Namespace], int | None], argv: Sequence[str] | None = None) -> int:
        """The exit status of the job with the arguments of the command line."""
        return status(self.name, job, self.parse(argv))
