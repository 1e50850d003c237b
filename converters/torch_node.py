"""An ONNX node as the table of torch_ops.py sees it, and numbers as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np

INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
"""ONNX's numbers of the types of whole numbers."""


class Unwritable(Exception):
    """An operator, or a use of one, that this table has no plain torch for."""


class Operands(Sequence[str]):
    """Inputs as expressions, made when they are asked for: what only the writer reads leaves nothing in the module."""

    def __init__(self, names: Sequence[str], make: Callable[[str], str]) -> None:
        self._names, self._make = names, make

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> list[str]: ...
    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self[n] for n in range(*i.indices(len(self)))]
        return self._make(self._names[i]) if self._names[i] else ""


class Node:
    """An ONNX node as the table sees it: expressions of its inputs, its attributes, its constants.

    `types`: ONNX's element type of a value by name. `shape`: of the first output, where it is a value of the net.
    `helpers`: functions of torch_helpers that the expression calls.
    """

    def __init__(
        self, proto: Any, operand: Callable[[str], str], constants: Mapping[str, np.ndarray],
        types: Callable[[], Mapping[str, int]], shape: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        import onnx

        self.op = proto.op_type
        self.inputs = Operands(list(proto.input), operand)
        self.outputs = list(proto.output)
        self.shape = shape
        self.helpers: list[Callable[..., Any]] = []
        self._names, self._types = list(proto.input), types
        self._constants = [constants.get(name) for name in proto.input]
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self.unread = set(self._attributes)

    def get(self, name: str, default: Any = None) -> Any:
        self.unread.discard(name)
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, i: int) -> bool:
        return i < len(self._names) and bool(self._names[i])

    def constant(self, i: int) -> np.ndarray | None:
        return self._constants[i] if i < len(self._constants) else None

    def ints(self, i: int) -> list[int]:
        """Input i as the list of whole numbers that it must be."""
        value = self.constant(i)
        if value is None:
            raise Unwritable(f"{self.op} with a computed input {i}")
        return [int(v) for v in np.asarray(value).ravel()]

    def whole(self, i: int) -> bool:
        """Whether input i holds whole numbers."""
        constant = self.constant(i)
        return constant.dtype.kind in "iu" if constant is not None else self._types().get(self._names[i]) in INTEGERS

    def literal(self, i: int) -> bool:
        """Whether input i is written as a number."""
        constant = self.constant(i)
        return constant is not None and is_literal(constant)

    def call(self, helper: Callable[..., Any], *arguments: str) -> str:
        self.helpers.append(helper)
        return f"{helper.__name__}({', '.join(arguments)})"


def is_literal(array: np.ndarray) -> bool:
    return array.ndim == 0 and array.dtype in (np.float32, np.int64)


def number(value: Any) -> str:
    """A number as the shortest literal that is the same float32, and not above the largest."""
    if np.asarray(value).dtype.kind in "iu":
        return str(int(value))
    single = np.float32(value)
    text = str(single)
    if np.isfinite(single) and abs(float(text)) > float(np.finfo(np.float32).max):
        text = repr(float(single))
    return f'float("{text}")' if text in ("inf", "-inf", "nan") else text
