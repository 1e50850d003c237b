"""Prototxt in and out: `read` and `parse` give a message and what its text said beyond the schema, `format` gives
text.

Reading: `source.decode` (encodings), `scanner.Scanner` (unknown names, with their position), then protobuf's own text
parser. Where the behaviour comes from: text is accepted as protobuf's C++ TextFormat accepts it in Caffe's
ReadProtoFromTextFile (src/caffe/util/io.cpp), except that unknown fields of forks need not be fatal: see
`names.verdict`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from caffe_port.errors import PrototxtError
from caffe_port.proto.format import format
from caffe_port.proto.scanner import Scanner, Unknown
from caffe_port.proto.source import check, decode

__all__ = ["Text", "Unknown", "format", "parse", "read"]


@dataclass
class Text:
    """A message read from text.

    `unknown` holds what the schema does not know, in the order of the file. `layer_lines` holds the line of every
    `layer` or `layers` of a NetParameter, in their order.
    """

    message: Any
    source: str
    unknown: list[Unknown] = field(default_factory=list)
    layer_lines: list[int] = field(default_factory=list)


def parse(text: str | bytes, cls: Any, source: str = "<text>", strict: bool = True) -> Text:
    """The message of class `cls` (caffe_pb2.NetParameter, ...) that `text` holds.

    Raises PrototxtError, whose message starts with `source:line:column:`, at the first thing that cannot be read. An
    unknown field that the message cannot do without is such a thing when `strict`; otherwise it is left out and listed.
    """
    text = decode(text, source) if isinstance(text, bytes) else check(text, source)
    scan = Scanner(text, source).run(cls.DESCRIPTOR)
    fatal = next((unknown for unknown in scan.unknown if unknown.fatal), None)
    if strict and fatal:
        raise PrototxtError(f"{source}:{fatal}")
    message = cls()
    try:
        text_format.Parse(scan.text, message)
    except text_format.ParseError as e:
        said = re.sub(r"^\d+:\d+ : (?:'.*': (?=[A-Z]))?", "", str(e))
        raise PrototxtError(f"{source}:{e.GetLine() or 1}:{e.GetColumn() or 1}: {said}") from None
    except UnicodeError as e:
        raise PrototxtError(f"{source}:1:1: a string holds bytes that are not UTF-8: {e}") from None
    missing = message.FindInitializationErrors()
    if missing:
        raise PrototxtError(f"{source}:{_line_of(missing[0], scan.layer_lines)}:1: missing: {', '.join(missing)}")
    return Text(message, source, scan.unknown, scan.layer_lines)


def read(path: str | os.PathLike[str], cls: Any, strict: bool = True) -> Text:
    """`parse` of a file. Raises PrototxtError for one that cannot be read or holds nothing."""
    source = os.fspath(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as e:
        raise PrototxtError(f"{source}: cannot be read: {e.strerror}") from None
    text = parse(raw, cls, source, strict)
    if not text.message.ByteSize() and not text.unknown:
        raise PrototxtError(f"{source}:1:1: the file is empty: no field of {cls.DESCRIPTOR.name} in it")
    return text


def _line_of(path: str, layer_lines: list[int]) -> int:
    """The line of the layer in a path such as `layer[3].clip_param.max`."""
    match = re.match(r"layers?\[(\d+)\]", path)
    return layer_lines[int(match[1])] if match and int(match[1]) < len(layer_lines) else 1
