"""The preflight of many files: which they are, what each of them is, and a summary by outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from caffe_port.cli import preflight, preflight_solver
from caffe_port.cli.preflight import UNSUPPORTED, Report
from caffe_port.errors import CaffeError
from caffe_port.proto.kind import kind, placeholder
from caffe_port.proto.source import decode

SUFFIXES = (".prototxt", ".pt")
OUTCOMES = {
    "builds": "every layer of every phase is built and all shapes fit; data layers as far as their definition goes",
    "builds as far as shapes are known": "nothing is wrong; shapes that only the data, the program or a Python module "
    "gives are not known, and the layers behind them not checked beyond their type",
    "names what it lacks": "layer types, fields or options that are not supported, each named with its line",
    "wrong in itself": "text that breaks off, a bottom that nobody makes, shapes that do not fit, ...",
    "solver": "a solver whose settings are all known and fit",
    "solver, refused": "a solver with settings that are not known or do not fit, each named",
    "not a net": "a web page, merge-conflict marks, a template to be filled in, a list of labels, an empty file",
}
"""Outcome -> what it means; a file has one."""


def files(paths: Sequence[str]) -> Iterator[str]:
    """The files named, and those in the folders named whose names say prototxt (`a.prototxt`, `a.prototxt.in`, `a.pt`).

    A `.pt` of PyTorch is told by its zero bytes and left out; a file that is named itself is never left out.
    """
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield given
            continue
        for found in sorted(p for p in path.rglob("*") if p.is_file()):
            if any(f"{suffix}." in f"{found.name.lower()}." for suffix in SUFFIXES):
                if found.suffix.lower() != ".pt" or not _is_binary(found):
                    yield str(found)


def _is_binary(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return b"\0" in file.read(4096)
    except OSError:
        return False  # preflight will say so


def check(
    path: str, phases: Sequence[str], level: int = 0, stages: Sequence[str] = (), given: Sequence[str] = ()
) -> Report:
    """The report of whatever the file is. Raises nothing for whatever it holds."""
    try:
        text = decode(Path(path).read_bytes(), path)
    except OSError as error:
        report = Report(path)
        report.add(0, f"cannot be read: {error.strerror}")
        return report
    except CaffeError as error:
        report = Report(path, "other")
        report.add(*preflight.located(path, error))
        return report
    what = kind(text)
    if what.name == "other":
        report = Report(path, "other")
        report.add(1, f"not a net: {what.reason}")
        return report
    try:
        if what.name == "solver":
            report = preflight_solver.check(path)
        else:
            report = preflight.check(path, phases, level, stages, given)
    except Exception as error:  # a file must not stop the check of the others
        report = Report(path, what.name)
        report.add(0, f"cannot be checked: {type(error).__name__}: {error}")
    blank = placeholder(text)
    if blank and report.problems and not report.layers:
        report = Report(path, "other")
        report.add(blank[0], f"not a net but a template: '{blank[1]}' is for a program to fill in")
    return report


def outcome(report: Report) -> str:
    """The one of OUTCOMES that the file has."""
    unsupported = any(f.kind == UNSUPPORTED for f in report.problems)
    if report.what == "other":
        return "not a net"
    if report.what == "solver":
        return "solver, refused" if report.problems else "solver"
    if report.problems:
        return "names what it lacks" if unsupported else "wrong in itself"
    return "builds as far as shapes are known" if report.unchecked else "builds"


def summary(reports: Sequence[Report]) -> list[str]:
    """Files by outcome, and what is lacked most often."""
    count = Counter(outcome(report) for report in reports)
    lines = [f"{len(reports)} files:", *(f"{count[name]:6}  {name}" for name in OUTCOMES if count[name])]
    lacked = Counter(s for r in reports for s in {f.subject for f in r.problems if f.kind == UNSUPPORTED})
    if lacked:
        lines += ["lacked most often, in so many files:", *(f"{n:6}  {what}" for what, n in lacked.most_common(20))]
    return lines


def as_data(report: Report) -> dict[str, Any]:
    """A report as JSON takes it."""
    return {
        "path": report.path,
        "outcome": outcome(report),
        "layers": report.layers,
        "unchecked": report.unchecked,
        "findings": [
            {"line": f.line, "kind": f.kind, "message": f.message, "subject": f.subject}
            for f in (*report.problems, *report.notes)
        ],
    }
