"""protobuf's wire format, without a schema: where each field of a message lies in a buffer.

A message is a sequence of fields; a field is a varint tag (number << 3 | kind) and a value of that kind. Nothing is
copied and nothing is believed: every length is checked against what is left, so a hostile file costs no more memory
than its own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from caffe_port.errors import WireError

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
KINDS = ("varint", "8 bytes", "length and bytes", "group", "end of group", "4 bytes")
MAX_GROUPS = 64
MAX_FIELDS = 1 << 20  # of one message; more are damage, since packed and single floats are read as one stretch each


class Field(NamedTuple):
    """One field: the buffer holds its tag at `at`, its value at [start, end). A group's value includes its end tag."""

    number: int
    kind: int
    at: int
    start: int
    end: int


def varint(buffer: memoryview, at: int, end: int) -> tuple[int, int]:
    """(value, position after it). Raises WireError where the bytes end first or go on beyond 64 bits."""
    value = shift = 0
    for i in range(at, min(end, at + 10)):
        byte = buffer[i]
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), i + 1
        shift += 7
    if end - at < 10:
        raise WireError(f"byte {at}: a number is cut off by the end of its message at byte {end}")
    raise WireError(f"byte {at}: a number of more than 64 bits")


def fields(buffer: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in buffer[start:end], in order. Raises WireError (with the byte's position) for
    damage.
    """
    at = start
    for _ in range(MAX_FIELDS):
        if at >= end:
            return
        field = field_at(buffer, at, end)
        yield field
        at = field.end
    if at < end:
        raise WireError(f"byte {start}: more than {MAX_FIELDS} fields in one message; that is damage")


def field_at(buffer: memoryview, at: int, end: int) -> Field:
    """The field whose tag is at `at`."""
    tag, start = varint(buffer, at, end)
    number, kind = tag >> 3, tag & 7
    if not 1 <= number < 2**29:
        raise WireError(f"byte {at}: field number {number}, which cannot be")
    if kind == VARINT:
        return Field(number, kind, at, start, varint(buffer, start, end)[1])
    if kind in (FIXED64, FIXED32):
        return Field(number, kind, at, start, _within(at, start, 8 if kind == FIXED64 else 4, end, number))
    if kind == LENGTH:
        length, start = varint(buffer, start, end)
        return Field(number, kind, at, start, _within(at, start, length, end, number))
    if kind == GROUP:
        return Field(number, kind, at, start, _group_end(buffer, start, end, number))
    raise WireError(f"byte {at}: field {number} of kind {kind}, where a message must have a field")


def _within(at: int, start: int, length: int, end: int, number: int) -> int:
    if length > end - start:
        raise WireError(f"byte {at}: field {number} says it has {length} bytes, but only {end - start} are left")
    return start + length


def _group_end(buffer: memoryview, at: int, end: int, number: int) -> int:
    """After the end tag of group `number`, whose fields begin at `at`. Groups in groups are followed without
    recursion.
    """
    open_groups = [number]
    for _ in range(MAX_FIELDS):
        if not open_groups:
            return at
        tag, start = varint(buffer, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == GROUP:
            if len(open_groups) == MAX_GROUPS:
                raise WireError(f"byte {at}: groups nested more than {MAX_GROUPS} deep")
            open_groups.append(number)
            at = start
        elif kind == GROUP_END:
            if open_groups.pop() != number:
                raise WireError(f"byte {at}: the end of group {number}, which is not open")
            at = start
        else:
            at = field_at(buffer, at, end).end
    raise WireError(f"byte {at}: more than {MAX_FIELDS} fields in one group; that is damage")


def encode_varint(value: int) -> bytes:
    """A number that is not negative, as a varint."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, kind: int) -> bytes:
    return encode_varint(number << 3 | kind)
