"""Which of a message's set fields are no fields of Caffe's, or have a value that Caffe's do not have.

The schema reads forks' fields by name (see caffe.proto), so that a net can be inspected and a layer can support them.
Whoever builds something from a message must refuse those that it does not know: a layer that ignored one would
compute something else.
"""

from __future__ import annotations

from typing import Any

from caffe_port.proto.names import STOCK
from caffe_port.proto.scanner import ENUM, MESSAGE, is_repeated


def fork_fields(message: Any, prefix: str = "") -> list[str]:
    """The paths ("pooling_param.ceil_mode") of the set fields that only forks have, at any depth.

    A message that only forks have is named as a whole by the field that holds it.
    """
    found: list[str] = []
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.number >= STOCK or (field.cpp_type == ENUM and _foreign_value(value)):
            found.append(path)
        elif field.cpp_type == MESSAGE:
            for item in value if is_repeated(field) else (value,):
                found += [inner for inner in fork_fields(item, f"{path}.") if inner not in found]
    return found


def _foreign_value(value: Any) -> bool:
    """Whether an enum's value, or one of them, is a fork's."""
    return max([value] if isinstance(value, int) else value, default=0) >= STOCK
