"""Messages as text, as Caffe prints them.

The form of protobuf 3's C++ TextFormat (DebugString, PrintToString): fields by number, two spaces a level, repeated
numbers one a line, floats with 6 digits where these give the same float, else 9 (doubles 15, else 17), strings with
octal escapes for everything outside ASCII. `caffe train` prints its solver and net so, and the upgrade tools write
their files so.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from caffe_port.proto.scanner import BOOL, DOUBLE, ENUM, FLOATS, MESSAGE, STRING, is_repeated

ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("'"): "\\'", ord("\\"): "\\\\"}


def format(message: Any) -> str:
    """The text of a message. Fields that the schema does not know (a fork's, from a binary file) become comments."""
    lines: list[str] = []
    _message(message, "", lines)
    return "".join(f"{line}\n" for line in lines)


def _message(message: Any, indent: str, lines: list[str]) -> None:
    for field, value in message.ListFields():
        for item in value if is_repeated(field) else (value,):
            if field.cpp_type == MESSAGE:
                lines.append(f"{indent}{field.name} {{")
                _message(item, indent + "  ", lines)
                lines.append(f"{indent}}}")
            else:
                lines.append(f"{indent}{field.name}: {plain(field, item)}")
    for unknown in UnknownFieldSet(message):
        lines.append(f"{indent}# unknown field {unknown.field_number}")


def plain(field: Any, value: Any) -> str:
    """One value as text."""
    if field.cpp_type == STRING:
        return f'"{escape(value)}"'
    if field.cpp_type == BOOL:
        return "true" if value else "false"
    if field.cpp_type == ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    if field.cpp_type == FLOATS:
        return shortest(value, 6, 9, "<f")
    if field.cpp_type == DOUBLE:
        return shortest(value, 15, 17, "<d")
    return str(value)


def shortest(value: float, digits: int, most: int, layout: str) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if layout == "<f" and 0 < abs(value) < 2**-126:  # C++ reads denormals back as a range error, so never as the same
        return f"{value:.{most}g}"
    text = f"{value:.{digits}g}"
    try:
        same = struct.pack(layout, float(text)) == struct.pack(layout, value)
    except OverflowError:  # rounded up past the largest float
        same = False
    return text if same else f"{value:.{most}g}"


def escape(value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return "".join(ESCAPES.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in raw)
