"""Outputs of a net as Caffe prints them, and their sums over a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor

from caffe_port.errors import DataError


def output_line(name: str, value: float | np.floating, weight: float) -> str:
    """`loss = 0.5 (* 2 = 1 loss)`; the bracket only for outputs that a loss weight counts."""
    if not weight:
        return f"{name} = {value:g}"
    weight32, value32 = np.float32(weight), np.float32(value)
    with np.errstate(all="ignore"):
        return f"{name} = {value:g} (* {weight32:g} = {weight32 * value32:g} loss)"


def elements(outputs: Mapping[str, Tensor]) -> Iterator[tuple[str, np.float32]]:
    """Name and value of every element of every output, in the net's order."""
    for name, output in outputs.items():
        for value in output.detach().float().cpu().numpy().ravel():
            yield name, value


class Scores:
    """Element by element sums of a net's outputs over batches, in single precision as Caffe keeps them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: list[np.float32] = []
        self.batches = 0

    def add(self, outputs: Mapping[str, Tensor]) -> list[tuple[str, np.float32]]:
        """Add one batch; gives its elements back."""
        got = list(elements(outputs))
        if not self.batches:
            self.names, self.sums = [n for n, _ in got], [v for _, v in got]
        elif len(got) != len(self.sums):
            raise DataError(
                f"test: batch {self.batches} has {len(got)} output elements, the batches before it {len(self.sums)}; "
                "their mean has no meaning: use a fixed batch size, or reduce the outputs inside the net"
            )
        else:
            with np.errstate(all="ignore"):
                self.sums = [total + value for total, (_, value) in zip(self.sums, got, strict=True)]
        self.batches += 1
        return got

    def lines(self, weights: Mapping[str, float]) -> Iterator[str]:
        """One line an element, of its mean over the batches."""
        for name, total in zip(self.names, self.sums, strict=True):
            yield output_line(name, total / np.float32(self.batches), weights.get(name, 0.0))
