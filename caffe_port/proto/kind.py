"""What a text file holds, before it is read as anything: a net, a solver, a template of one, or something else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from caffe_port.proto import caffe_pb2
from caffe_port.proto.scanner import TOKEN

NET = frozenset(caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name)
SOLVER = frozenset(caffe_pb2.SolverParameter.DESCRIPTOR.fields_by_name) - NET
LAYERS = {"layer", "layers"}
PLACEHOLDER = re.compile(  # outside comments and strings only what a prototxt cannot hold
    r"\{\s*[A-Za-z_]\w*\s*\}|\$\{?\w+[\$\}]?|\{\{.*?\}\}|\{%.*?%\}|@\w+@|%\(\w+\)[sdfg]|%[sdfg]\b|<[A-Z]\w*>|\bcls\dx\b"
)
QUIET = re.compile(r"""\#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""")


@dataclass(frozen=True)
class Kind:
    """`name` is "net", "solver" or "other"; `reason` says what makes it "other"."""

    name: str
    reason: str = ""


def kind(text: str) -> Kind:
    """What the text is, by the fields that stand outside all braces; nothing is raised, whatever the text holds."""
    names = top_level(text)
    if LAYERS & names:
        return Kind("net")
    if SOLVER & names:
        return Kind("solver")
    if NET & names:
        return Kind("net")
    if not names:
        return Kind("other", "there is no field in it" if text.strip() else "the file is empty")
    shown = ", ".join(sorted(names)[:4])
    return Kind("other", f"no field of a net or a solver stands in it (it has {shown})")


def top_level(text: str) -> set[str]:
    """Names outside all braces that a value follows."""
    found: set[str] = set()
    depth, last = 0, ""
    for token in TOKEN.finditer(text):
        if token.lastgroup == "space":
            continue
        mark = token.group()
        if mark in "{:<" and not depth and last:
            found.add(last)
        if mark in "{<":
            depth += 1
        elif mark in "}>":
            depth = max(0, depth - 1)
        last = mark if token.lastgroup == "name" else ""
    return found


def placeholder(text: str) -> tuple[int, str] | None:
    """Line and text of the first thing that a program is to fill in, such as `${num}`; None: it is no template."""
    bare = QUIET.sub(lambda quiet: " " * len(quiet.group()), text)
    match = PLACEHOLDER.search(bare)
    return (bare.count("\n", 0, match.start()) + 1, match.group()) if match else None
