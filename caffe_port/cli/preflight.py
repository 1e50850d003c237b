"""Everything in a net's file that we cannot do, all at once, each with its line.

The text is read leniently, then the layers of each phase are made one by one. A layer that fails makes its tops
unknown (unless --input gives their shapes), and the layers that read them are only checked as far as that goes. A data
layer whose data is not here is noted, and its shapes are taken from --input or from its definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from caffe_port import graph
from caffe_port.cli import inputs
from caffe_port.errors import CaffeError, PrototxtError
from caffe_port.layers.base import Layer, Shape
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.filter import filter_net
from caffe_port.proto.splits import insert_splits
from caffe_port.proto.upgrade import upgrade_net


@dataclass(frozen=True, order=True)
class Finding:
    """`line` 0: the file as a whole. Only a `fatal` one makes the file fail."""

    line: int
    message: str
    fatal: bool = True


@dataclass
class Report:
    path: str
    findings: dict[Finding, None] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    """Layers by phase."""
    unchecked: int = 0
    """Layers whose shapes could not be checked, because a bottom's shape is not known."""

    @property
    def problems(self) -> list[Finding]:
        return sorted(f for f in self.findings if f.fatal)

    @property
    def notes(self) -> list[Finding]:
        return sorted(f for f in self.findings if not f.fatal)

    def add(self, line: int, message: str, fatal: bool = True) -> None:
        self.findings.setdefault(Finding(line, message, fatal))

    def lines(self) -> list[str]:
        """One line a finding, problems first, then the verdict."""
        shown = [(f, "") for f in self.problems] + [(f, "note: ") for f in self.notes]
        out = [f"{self.path}{f':{f.line}' if f.line else ''}: {kind}{f.message}" for f, kind in shown]
        checked = ", ".join(f"{count} layers in {phase}" for phase, count in self.layers.items())
        verdict = f"{len(self.problems)} problem{'s' * (len(self.problems) != 1)}" if self.problems else "no problems"
        rest = f"; {self.unchecked} not checked beyond their type, for want of a shape" if self.unchecked else ""
        return [*out, f"{self.path}: {verdict} ({checked or 'nothing built'}{rest})"]


def check(
    path: str,
    phases: Sequence[str] = ("TRAIN", "TEST"),
    level: int = 0,
    stages: Sequence[str] = (),
    given: Sequence[str] = (),
) -> Report:
    """All that is wrong with the net in `path`, in the phases named. Raises nothing for whatever the file holds."""
    report = Report(path)
    try:
        read = text.read(path, caffe_pb2.NetParameter, strict=False)
        for unknown in read.unknown:
            report.add(
                unknown.line, f"{unknown.where}: {unknown.problem or unknown.name}; {unknown.hint}", unknown.fatal
            )
        net = upgrade_net(read.message)
        lines = _lines(net, read)
        shapes = inputs.parse(given)
    except CaffeError as error:
        report.add(*_located(path, error))
        return report
    seen: dict[bytes, str] = {}
    for phase in phases:
        net.state.level = level
        net.state.stage.extend(s for s in stages if s not in net.state.stage)
        kept = _filter(net, caffe_pb2.Phase.Value(phase), lines, report)
        key = b"|".join(layer.SerializeToString(deterministic=True) for layer, _ in kept)
        if key in seen:  # the same net in both phases
            report.layers[f"{seen[key]} and {phase}"] = report.layers.pop(seen[key])
            continue
        seen[key] = phase
        report.layers[phase] = len(kept)
        _check_layers(net, kept, caffe_pb2.Phase.Value(phase), shapes, report)
    if not net.layer:
        report.add(0, "the net has no layers")
    return report


def _filter(net: Any, phase: int, lines: list[int], report: Report) -> list[tuple[Any, int]]:
    """The layers that are in the net in this phase, with their lines."""
    kept = []
    for layer, line in zip(net.layer, lines, strict=True):
        alone = type(net)(name=net.name, state=net.state, layer=[layer])
        try:
            kept += [(one, line) for one in filter_net(alone, phase, net.state.level, list(net.state.stage)).layer]
        except CaffeError as error:
            report.add(line, str(error))
    return kept


def _check_layers(
    net: Any, kept: list[tuple[Any, int]], phase: int, given: Mapping[str, Shape], report: Report
) -> None:
    shapes: dict[str, Shape | None] = {}
    before = len(report.problems)
    known_all = True
    for param, line in kept:
        for bottom in param.bottom:
            if bottom not in shapes:
                report.add(
                    line,
                    f"layer '{param.name}' ({param.type}): unknown bottom blob '{bottom}': no layer before it makes it",
                )
        found = _check_layer(param, phase, [shapes.get(b) for b in param.bottom], given, line, report)
        known_all = known_all and found is not None
        shapes.update(zip(param.top, found or [given.get(top) for top in param.top], strict=False))
    if known_all and len(report.problems) == before:
        _check_graph(net, kept, phase, given, report)


def _check_layer(
    param: Any, phase: int, bottoms: list[Shape | None], given: Mapping[str, Shape], line: int, report: Report
) -> list[Shape | None] | None:
    """Top shapes of one layer; None where they cannot be known."""
    try:
        layer = graph.layer_class(param)(param, phase)
        _check_counts(layer, param)
        if layer.role == "input" and any(top in given for top in param.top):
            return [given.get(top) for top in param.top]
        if layer.role == "data":
            return _data_shapes(layer, param, given, line, report)
        if any(shape is None for shape in bottoms):
            report.unchecked += 1
            return None
        known = [shape for shape in bottoms if shape is not None]
        with torch.device("meta"):  # no memory is needed to know what fits
            layer.setup(known)
        return list(layer.top_shapes(known))
    except CaffeError as error:
        report.add(line, str(error))
    except Exception as error:  # whatever a file can make a layer do must end in a line of the report
        report.add(line, f"layer '{param.name}' ({param.type}): cannot be set up: {type(error).__name__}: {error}")
    return None


def _data_shapes(
    layer: Layer, param: Any, given: Mapping[str, Shape], line: int, report: Report
) -> list[Shape | None] | None:
    if not any(top in given for top in param.top):
        try:
            layer.setup([])
            return list(layer.top_shapes([]))
        except (CaffeError, OSError) as error:
            report.add(line, f"{error} (checked without the data)", fatal=False)
    shapes = inputs.of_data_layer(param, given)
    for top, shape in zip(param.top, shapes, strict=True):
        if shape is None:
            report.add(
                line,
                f"{layer.title}: the shape of '{top}' is not known; give it with --input {top}:1,3,224,224",
                fatal=False,
            )
    return shapes


def _check_counts(layer: Layer, param: Any) -> None:
    for kind, count, (least, most) in (
        ("bottom", len(param.bottom), layer.bottoms),
        ("top", len(param.top), layer.tops),
    ):
        if kind == "top" and layer.auto_tops:
            least = 0
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            raise layer.error(f"takes {wanted} {kind} blobs, the definition gives {count}")


def _check_graph(net: Any, kept: list[tuple[Any, int]], phase: int, given: Mapping[str, Shape], report: Report) -> None:
    """What only the net as a whole shows (two makers of one blob, loss weights, ...): the first such thing."""
    whole = type(net)(name=net.name, state=net.state, layer=[layer for layer, _ in kept])
    for layer in whole.layer:
        if inputs.role(layer) == "data":
            given = {**given, **{t: s for t, s in zip(layer.top, inputs.of_data_layer(layer, given), strict=True) if s}}
    try:
        with torch.device("meta"):
            graph.build(
                insert_splits(inputs.replace(whole, {k: v for k, v in given.items() if _makes(whole, k)})), phase
            )
    except CaffeError as error:
        message = str(error)
        places = [(message.find(f"layer '{layer.name}'"), line) for layer, line in kept]
        first = min((found for found in places if found[0] >= 0), default=(0, 0))
        report.add(first[1], message)
    except Exception as error:  # as above
        report.add(0, f"the net cannot be built: {type(error).__name__}: {error}")


def _makes(net: Any, blob: str) -> bool:
    return any(blob in layer.top for layer in net.layer if inputs.role(layer) in ("input", "data"))


def _lines(net: Any, read: text.Text) -> list[int]:
    """The line of every layer of the upgraded net, by the n-th layer of each name; 0 for what the upgrade made."""
    message = read.message
    names = [layer.name for layer in message.layer] or [layer.name or layer.layer.name for layer in message.layers]
    places: dict[str, list[int]] = {}
    for name, line in zip(names, read.layer_lines, strict=False):
        places.setdefault(name, []).append(line)
    return [places[layer.name].pop(0) if places.get(layer.name) else 0 for layer in net.layer]


def _located(path: str, error: CaffeError) -> tuple[int, str]:
    """Line and message of an error whose own message may begin with the place."""
    message = str(error)
    if isinstance(error, PrototxtError) and message.startswith(f"{path}:"):
        place, _, rest = message[len(path) + 1 :].partition(": ")
        line = place.split(":")[0]
        if line.isdigit():
            return int(line), rest
    return 0, message
