"""A binary file of Caffe's as a buffer, and its message with the blobs taken out.

A file is mapped, not read: the blobs are views of it, and only the definitions (kilobytes) are copied and parsed by
protobuf.
"""

from __future__ import annotations

import functools
import mmap
import os
import re
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from caffe_port.errors import WireError
from caffe_port.proto import blobproto, wire
from caffe_port.proto.scanner import MESSAGE, is_repeated

MAX_DEFINITION = 64 << 20  # bytes of everything but blobs; the largest real nets have some hundred kilobytes
MAGIC = (
    (rb"\s*<(?i:!doctype|html|head|\?xml)", "it is an HTML or XML page; was a web page saved instead of the file?"),
    (rb"version https://git-lfs", "it is a Git LFS pointer, not the file itself; `git lfs pull` brings it"),
    (rb"\x89HDF\r\n", "it is HDF5 (Caffe's snapshot_format: HDF5), not binary protobuf"),
    (rb"PK\x03\x04", "it is a zip archive (a .pt, .npz or .zip file)"),
    (rb"\x1f\x8b", "it is compressed with gzip; unpack it first"),
    (rb"\s*(?:#[^\n]*\n\s*)*[A-Za-z_]+\s*[:{]", "it is text; a prototxt defines a net, it holds no weights"),
)
TEXT_MAGIC = MAGIC[-1][0]


class Step(NamedTuple):
    """One step down from the message: a field's name and the how-manieth of that name."""

    name: str
    nth: int


class Stripped(NamedTuple):
    message: Any
    blobs: list[tuple[tuple[Step, ...], blobproto.Blob]]


def open_buffer(path: str | os.PathLike[str]) -> memoryview:
    """The bytes of a file, mapped where the system can. Raises WireError for a file that is missing or empty."""
    source = os.fspath(path)
    try:
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            try:
                buffer = memoryview(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(f.read())
            except (OSError, ValueError):  # not a plain file
                buffer = memoryview(f.read())
    except OSError as e:
        raise WireError(f"{source}: cannot be read: {e.strerror or e}") from None
    if not len(buffer):
        raise WireError(f"{source}: the file is empty")
    return buffer


def read(path: str | os.PathLike[str], cls: Any) -> Stripped:
    """The message of class `cls` in a file, without its blobs, and the blobs with the way down to each.

    Raises WireError with the path, the byte and what was wrong there; for a file of another kind, which kind.
    """
    source = os.fspath(path)
    buffer = open_buffer(path)
    walk = _Walk(buffer)
    try:
        raw = walk.message(cls.DESCRIPTOR, 0, len(buffer), ())
    except WireError as e:
        raise WireError(f"{source}: {e}{what_is_it(buffer)}") from None
    try:
        message = cls.FromString(raw)
    except (DecodeError, UnicodeError) as e:
        raise WireError(f"{source}: not a {cls.DESCRIPTOR.name}: {e}{what_is_it(buffer)}") from None
    latin1(message)
    return Stripped(message, walk.blobs)


def latin1(message: Any) -> None:
    """Names that are not UTF-8 (C++ never checked) become text as Latin-1, as `source.decode` reads such a prototxt."""
    for field, value in message.ListFields():
        if field.cpp_type == MESSAGE:
            for item in value if is_repeated(field) else (value,):
                latin1(item)
        elif field.type == field.TYPE_STRING and is_repeated(field):
            if any(isinstance(item, bytes) for item in value):
                value[:] = [item.decode("latin-1") if isinstance(item, bytes) else item for item in value]
        elif field.type == field.TYPE_STRING and isinstance(value, bytes):
            setattr(message, field.name, value.decode("latin-1"))


def what_is_it(buffer: memoryview) -> str:
    """What a file that is no binary message seems to be, as the end of an error message."""
    head = bytes(buffer[:512])
    for pattern, said in MAGIC:
        if re.match(pattern, head) and (pattern != TEXT_MAGIC or _is_text(head)):
            return f": {said}"
    return ""


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)


class _Walk:
    """Copies a message less its blobs, which it reads. Knows the way to blobs from the schema, so it goes nowhere
    else.
    """

    def __init__(self, buffer: memoryview) -> None:
        self.buffer = buffer
        self.blobs: list[tuple[tuple[Step, ...], blobproto.Blob]] = []
        self.copied = 0

    def message(self, descriptor: Any, start: int, end: int, trail: tuple[Step, ...]) -> bytes:
        ways = ways_to_blobs(descriptor)
        if descriptor.name == "BlobProto":
            self.blob(start, end, trail)
            return b""
        kept: list[bytes] = []
        since = start  # what lies between here and the next blob is kept in one piece
        counts: dict[int, int] = {}
        try:
            for field in wire.fields(self.buffer, start, end):
                way = ways.get(field.number) if field.kind == wire.LENGTH else None
                if way is None:
                    continue
                kept.append(self.copy(since, field.at))
                since = field.end
                index = counts.get(field.number, 0)
                counts[field.number] = index + 1
                down = (*trail, Step(way.name, index))
                if way.message_type.name == "BlobProto":
                    self.blob(field.start, field.end, down)
                else:
                    inner = self.message(way.message_type, field.start, field.end, down)
                    kept.append(wire.tag(field.number, wire.LENGTH) + wire.encode_varint(len(inner)) + inner)
            kept.append(self.copy(since, end))
        except WireError as e:
            raise e if str(e).startswith("in ") or not trail else WireError(f"in {shown(trail)}: {e}") from None
        return b"".join(kept)

    def blob(self, start: int, end: int, trail: tuple[Step, ...]) -> None:
        try:
            self.blobs.append((trail, blobproto.read(self.buffer, start, end)))
        except WireError as e:
            raise WireError(f"in {shown(trail)}: {e}" if trail else str(e)) from None

    def copy(self, start: int, end: int) -> bytes:
        self.copied += end - start
        if self.copied > MAX_DEFINITION:
            raise WireError(
                f"byte {start}: more than {MAX_DEFINITION >> 20} MiB besides the blobs; no net is that large"
            )
        return bytes(self.buffer[start:end])


@functools.cache
def ways_to_blobs(descriptor: Any) -> dict[int, Any]:
    """The fields of a message that are blobs or lead to blobs, by number."""
    return {
        field.number: field
        for field in descriptor.fields
        if field.cpp_type == MESSAGE
        and (field.message_type.name == "BlobProto" or _leads_to_blobs(field.message_type, frozenset()))
    }


def _leads_to_blobs(descriptor: Any, seen: frozenset[str]) -> bool:
    if descriptor.name in seen:
        return False
    inside = [field.message_type for field in descriptor.fields if field.cpp_type == MESSAGE]
    return any(d.name == "BlobProto" or _leads_to_blobs(d, seen | {descriptor.name}) for d in inside)


def shown(trail: tuple[Step, ...]) -> str:
    return ", ".join(f"{step.name} {step.nth}" for step in trail)
