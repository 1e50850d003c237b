"""Caffe's flags (gflags) in argparse: the spellings, and the flags that several commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

_FLAG = re.compile(r"-{1,2}([A-Za-z][\w-]+)(=.*)?", re.DOTALL)


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
