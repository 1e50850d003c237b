"""Names that torch's modules accept, from layer names that Caffe accepts, and back.

torch refuses dots, the empty name and names that its own classes use (`type`, `float`, `keys`). Every character that
could be in the way is written `%XX`, so that the mapping is reversible.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from torch import nn

_taken = frozenset(dir(nn.ModuleDict()))


def mangle(name: str, index: int | None = None) -> str:
    """`index` is added where given, since a Caffe net may have two layers of one name."""
    plain = re.sub(r"[%.#]", lambda m: f"%{ord(m.group()):02X}", name)
    if plain in _taken or not plain:
        plain = f"%{ord(plain[0]):02X}{plain[1:]}" if plain else "%"
    return plain if index is None else f"{plain}#{index}"


def unmangle(name: str) -> str:
    name = name.split("#", 1)[0]
    return "" if name == "%" else unquote(name)
