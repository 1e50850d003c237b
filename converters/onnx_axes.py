"""Which axes of a net's values may have other sizes than in its definition: the batch, and the height and width.

Found out by running the shape rules at other sizes of the inputs. What they allow is then proven by running the file
at such sizes, since an ONNX form may have a size written into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caffe_port.errors import CaffeError, ConvertError
from caffe_port.layers.base import Shape
from caffe_port.net import Net

BATCH, HEIGHT, WIDTH = "N", "H", "W"
MORE = ((1, 2), (18, 13))
"""Pixels more in height and width, of two trials: with other remainders by every stride that is common."""


@dataclass(frozen=True)
class Axis:
    """An axis that may vary, by the name it gets in the file. `shapes`: of the inputs, with this one axis otherwise."""

    name: str
    shapes: Mapping[str, Shape]


def own_shapes(net: Net) -> dict[str, Shape]:
    return {name: net.graph.values[name].shape for name in net.inputs}


def batch_axis(net: Net) -> Axis | None:
    """At a batch size, not the net's own, that the shape rules allow as well; None where inputs or rules do not."""
    own = own_shapes(net)
    sizes = {shape[0] if shape else None for shape in own.values()}
    if len(sizes) != 1 or not (size := sizes.pop()):
        return None
    other = 2 if size != 2 else 3  # few, since they cost a whole proof; not 1, which would broadcast
    shapes = {name: (other, *shape[1:]) for name, shape in own.items()}
    try:
        values_at(net, shapes)
    except CaffeError:
        return None
    return Axis(BATCH, shapes)


def size_axes(net: Net) -> list[Axis]:
    """Height and width, of all inputs alike. Raises ConvertError that says why the net allows no other."""
    own = own_shapes(net)
    if {len(shape) for shape in own.values()} != {4} or len({shape[2:] for shape in own.values()}) != 1:
        raise ConvertError(f"net '{net.name}': the inputs {own} are not planes of one height and width")
    axes = []
    try:
        for trial in size_trials(net):
            values_at(net, trial)
        for place, name in ((2, HEIGHT), (3, WIDTH)):
            shapes = {n: (*s[:place], s[place] + MORE[1][place - 2], *s[place + 1 :]) for n, s in own.items()}
            values_at(net, shapes)
            axes.append(Axis(name, shapes))
    except CaffeError as e:
        raise ConvertError(f"net '{net.name}' works at its own height and width only: {e}") from e
    return axes


def size_trials(net: Net) -> list[dict[str, Shape]]:
    """Shapes of the inputs to prove free sizes at."""
    return [{n: (*s[:2], s[2] + h, s[3] + w) for n, s in own_shapes(net).items()} for h, w in MORE]


def values_at(net: Net, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shape of every value by id at other sizes of the inputs, or what a shape rule raises. The net stays."""
    own = own_shapes(net)
    try:
        net.graph.infer_shapes(dict(inputs))
        return {id: value.shape for id, value in net.graph.values.items()}
    finally:
        net.graph.infer_shapes(own)


def symbolic(net: Net, axes: Sequence[Axis]) -> dict[str, list[Any]]:
    """The shape of every value by id: an axis's name where a dimension is it, nothing where it is made of one."""
    own = own_shapes(net)
    dims: dict[str, list[Any]] = {id: list(value.shape) for id, value in net.graph.values.items()}
    for axis in axes:
        ends = {(a, b) for n in own for a, b in zip(own[n], axis.shapes[n], strict=True) if a != b}
        for id, there in values_at(net, axis.shapes).items():
            for i, (here, size) in enumerate(zip(net.graph.values[id].shape, there, strict=True)):
                if here != size:
                    free = dims[id][i] == here
                    dims[id][i] = axis.name if free and (here, size) in ends else None
    return dims
