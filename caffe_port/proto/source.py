"""From the bytes of a text file to its characters: byte-order marks, encodings, and files that are no prototxt at
all.
"""

from __future__ import annotations

import codecs
import re

from caffe_port.errors import PrototxtError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?=[ \n]|$)", re.MULTILINE)
HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml|script)", re.IGNORECASE)


def decode(raw: bytes, source: str) -> str:
    """The characters of a text file, with every line ending as a newline.

    UTF-8 with or without a byte-order mark, UTF-16 with one; what is neither is read as Latin-1 (old files with
    accents in comments). Raises PrototxtError for binary data, HTML pages, Git LFS pointers and merge-conflict marks.
    """
    for mark, encoding in MARKS:
        if raw.startswith(mark):
            try:
                text = raw[len(mark) :].decode(encoding)
            except UnicodeDecodeError as e:
                raise PrototxtError(f"{source}:1:1: says that it is {encoding} and is not: {e.reason}") from None
            return check(text, source)
    if b"\0" in raw:
        at = raw.index(b"\0")
        line, column = raw.count(b"\n", 0, at) + 1, at - (raw.rfind(b"\n", 0, at) + 1) + 1
        raise PrototxtError(
            f"{source}:{line}:{column}: a zero byte: this is binary data (a .caffemodel?) or UTF-16 without its mark, "
            "not the text of a prototxt"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return check(text, source)


def check(text: str, source: str) -> str:
    """`text` with plain newlines; raises PrototxtError where it is recognisably something else than a prototxt."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if HTML.match(text):
        raise PrototxtError(
            f"{source}:1:1: an HTML page, not a prototxt; was a web page saved instead of the raw file?"
        )
    if text.startswith("version https://git-lfs"):
        raise PrototxtError(f"{source}:1:1: a Git LFS pointer, not the file itself; `git lfs pull` brings it")
    if "\0" in text:
        raise PrototxtError(f"{source}:{text.count(chr(10), 0, text.index(chr(0))) + 1}:1: a zero byte in the text")
    conflict = CONFLICT.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise PrototxtError(
            f"{source}:{line}:1: a merge-conflict mark '{conflict.group()}'; resolve the conflict first"
        )
    return text
