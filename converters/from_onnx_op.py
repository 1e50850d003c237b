"""An ONNX operation as the functions see it that write it as stock layers, and what a blob may stand for.

Caffe's blobs are floats. A blob that stands for something else has a kind of its own; a function takes the kinds that
it can do with, and every other use is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.stock import Inexact


class Whole(str):
    """A blob of whole numbers: what ONNX has as integers, or as booleans (0 and 1). Exact up to 2**24."""


class Cut(str):
    """A blob whose values, cut to whole numbers, are meant. Embed and BatchReindex cut them by themselves."""

    why = "stock layers do not round"


class Truth(str):
    """A blob of which only is meant where it is not 0."""

    why = "stock layers have no booleans"


class Places(str):
    """A pooling's mask: places within each plane, where ONNX counts over the whole tensor."""

    why = "Caffe's mask counts within each plane"


class Some(str):
    """A blob of as many samples as a Filter lets through."""

    why = "how many samples there are depends on values"


Kind = type[str]


@dataclass
class Op:
    """An operation in ONNX's words. `inputs`: a blob's name, an array (a constant), or None (left out).

    `domains`: the opset version of each domain, "" being ONNX's own.
    """

    type: str
    name: str
    inputs: list[str | np.ndarray | None]
    attributes: dict[str, Any]
    outputs: int = 1
    domains: dict[str, int] = field(default_factory=lambda: {"": 17})
    unread: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.unread = set(self.attributes)

    @property
    def opset(self) -> int:
        return self.domains[""]

    def get(self, name: str, default: Any = None) -> Any:
        self.unread.discard(name)
        return self.attributes.get(name, default)

    def must(self, name: str) -> Any:
        if name not in self.attributes:
            raise Inexact(f"its attribute {name} is missing")
        return self.get(name)

    def text(self, name: str, default: str) -> str:
        given = self.get(name, default)
        return given.decode() if isinstance(given, bytes) else str(given)

    def given(self, i: int) -> str | np.ndarray | None:
        return self.inputs[i] if i < len(self.inputs) else None

    def blob(self, i: int = 0, *kinds: Kind) -> str:
        """The blob that input i is; `kinds` that it may be besides a plain one and whole numbers."""
        given = self.given(i)
        if not isinstance(given, str):
            raise Inexact(f"its input {i} is {'left out' if given is None else 'a constant'}")
        if isinstance(given, Cut | Truth | Places | Some) and not isinstance(given, kinds):
            raise Inexact(f"{given.why} (input {i})")
        return given

    def array(self, i: int, default: Any = None) -> Any:
        given = self.given(i)
        if isinstance(given, str):
            raise Inexact(f"its input {i} is computed, and stock layers hold it as weights")
        return default if given is None else given

    def ints(self, i: int, attribute: str = "", default: Sequence[int] | None = None) -> list[int] | None:
        """Whole numbers that are input i, or were an attribute in older opsets."""
        given = self.get(attribute) if attribute else None
        given = self.array(i, given)
        return (None if default is None else list(default)) if given is None else [int(v) for v in np.ravel(given)]

    def axes(self, rank: int, i: int = 1, default: Sequence[int] | None = None) -> list[int]:
        """The axes of a blob of `rank` that are input i or the attribute `axes`, counted from the front; or all."""
        return [a % rank for a in self.ints(i, "axes", range(rank) if default is None else default) or []]
