"""A message as plain Python values, for torch.compile: its tracer cannot look into protobuf objects.

`frozen(message)` has the message's fields as attributes (defaults included, repeated ones as tuples) and `HasField`. It
is read where the message would be, by the same code, and only while compiling.
"""

from __future__ import annotations

from typing import Any

from caffe_port.proto.scanner import MESSAGE, is_repeated

_defaults: dict[str, Frozen] = {}


class Frozen:
    """The values of one message; see the module."""

    def __init__(self, values: dict[str, Any], given: frozenset[str]) -> None:
        self.__dict__.update(values)
        self.given = given

    def HasField(self, name: str) -> bool:  # noqa: N802 - protobuf's own name, which the layers call
        return name in self.given


def frozen(message: Any) -> Frozen:
    """A snapshot of `message`. Sub-messages that are not set are one shared snapshot of their defaults."""
    if not message.ListFields():
        name = message.DESCRIPTOR.full_name
        if name not in _defaults:
            _defaults[name] = _snapshot(message)
        return _defaults[name]
    return _snapshot(message)


def _snapshot(message: Any) -> Frozen:
    values: dict[str, Any] = {}
    given = set()
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        is_message = field.cpp_type == MESSAGE
        if is_repeated(field):
            values[field.name] = tuple(frozen(v) if is_message else v for v in value)
            continue
        values[field.name] = frozen(value) if is_message else value
        if message.HasField(field.name):
            given.add(field.name)
    return Frozen(values, frozenset(given))
