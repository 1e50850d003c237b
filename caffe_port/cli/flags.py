"""Caffe's flags (gflags) in argparse: the spellings, and the flags that several commands share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

_FLAG = re.compile(r"-{1,2}([A-Za-z][\w-]+)(=.*)?", re.DOTALL)
TRUE, FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")
CAFFES = (
    "gpu", "solver", "model", "phase", "level", "stage", "snapshot", "weights", "iterations", "sigint_effect",
    "sighup_effect",
)  # fmt: skip
"""The flags of Caffe's one program, which all its commands take; each reads some of them."""


class Parser(argparse.ArgumentParser):
    """argparse with gflags' switches: every `store_true` is on as `--x` or `--x=true`, off as `--nox` or `--x=false`,
    never takes the next word for its value, and the last one counts."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.names: set[str] = set()
        self.switches: set[str] = set()
        fixed = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(*args, **{**fixed, **options})

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self.names.add(action.dest)
        if options.get("action") == "store_true":
            self.switches.add(action.dest)
            super().add_argument(
                f"--no{action.dest}", dest=action.dest, action="store_false", default=False, help=argparse.SUPPRESS
            )
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._switch(word) for word in words], namespace)

    def _switch(self, word: str) -> str:
        """`--x=true` as `--x`, `--x=false` as `--nox`."""
        match = re.fullmatch(r"--(\w+)=(.*)", word)
        if not match or match[1] not in self.switches:
            return word
        if match[2].lower() not in TRUE + FALSE:
            self.error(f"--{match[1]} is a switch: true or false, not '{match[2]}'")
        return f"--{'no' * (match[2].lower() in FALSE)}{match[1]}"


def normalise(argv: Sequence[str], commands: Sequence[str] = ()) -> list[str]:
    """`-solver=x` and `-solver x` as `--solver=x` and `--solver x`; dashes inside a name as underscores.

    gflags take flags before the command as well (`caffe -solver x train`): the command is moved to the front. `--` ends
    the flags; one-letter flags (`-h`) stay. `--preflight NET` alone is `inspect --preflight NET`.
    """
    out: list[str] = []
    for i, word in enumerate(argv):
        if word == "--":
            out += argv[i:]
            break
        match = _FLAG.fullmatch(word)
        out.append(f"--{match[1].replace('-', '_')}{match[2] or ''}" if match else word)
    if out and out[0].startswith("-"):
        command = next((i for i, word in enumerate(out) if word in commands), None)
        if command is not None:
            out.insert(0, out.pop(command))
        elif "--preflight" in out:
            out.insert(0, "inspect")
    return out


def add_log(parser: argparse.ArgumentParser) -> None:
    """glog's flags: where the log goes."""
    parser.add_argument("--log_dir", metavar="DIR", help="write the log to a file in this folder too")
    parser.add_argument("--minloglevel", type=int, choices=range(4), help="leave out INFO (1), WARNING too (2)")
    for name in ("logtostderr", "alsologtostderr"):  # where it always goes
        parser.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)


def add_unused(parser: Parser) -> None:
    """Caffe's flags that this command does not read: taken, as Caffe takes them, and told to be without effect."""
    for name in CAFFES:
        if name not in parser.names:
            parser.add_argument(f"--{name}", action=_Unused, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


class _Unused(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        said = f"{parser.prog.split()[-1]} does not read --{self.dest}, as in Caffe: it has no effect"
        namespace.unused = [*getattr(namespace, "unused", ()), said]


def tell_unused(args: argparse.Namespace) -> None:
    """Log what `add_unused` took, once the log goes where the flags say."""
    from caffe_port import log

    for said in getattr(args, "unused", ()):
        log.warn("caffe.cpp:420", said)


def add_gpu(parser: argparse.ArgumentParser, absent: str = "on the CPU") -> None:
    parser.add_argument("--gpu", metavar="IDS", help=f"run on this GPU (0, 1, ...) or on 'all'; absent: {absent}")


def add_state(parser: argparse.ArgumentParser, phase: bool = False) -> None:
    """Which layers of the net's file are in: --level and --stage, and --phase where Caffe's command reads it."""
    if phase:
        parser.add_argument("--phase", choices=("TRAIN", "TEST"), help="the net's phase")
    parser.add_argument("--level", type=int, default=0, metavar="N", help="the net's level (default 0)")
    parser.add_argument("--stage", default="", metavar="A,B", help="the net's stages, separated by commas")


def add_iterations(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--iterations", type=positive, default=50, metavar="N", help=f"{what} (default 50)")


def add_skip_bad_records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip_bad_records",
        action="store_true",
        help="leave out records that cannot be used, log and count them (absent: the first one ends the run)",
    )


def positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a number above 0")
    return number


def stages(value: str) -> list[str]:
    """Caffe splits the flag at commas even when it is empty: without stages its nets have the one stage ''."""
    return value.split(",")
