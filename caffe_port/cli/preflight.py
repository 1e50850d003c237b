"""Everything in a net's file that we cannot do, all at once, each with its line.

The text is read leniently, then the layers of each phase are made one by one. A layer that fails makes its tops
unknown (unless --input gives their shapes), and the layers that read them are only checked as far as that goes. A data
layer whose data is not here is noted, and its shapes are taken from --input or from its definition; so is a Python
layer whose module is not here. A phase that the file is not made for (its data layers are in the other one) is told
and not held against it, as long as one phase is a net.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from caffe_port import graph
from caffe_port.cli import inputs
from caffe_port.errors import CaffeError, PrototxtError, UnsupportedError
from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.dummy_data import DummyData
from caffe_port.layers.python import Python
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.filter import filter_net
from caffe_port.proto.splits import insert_splits
from caffe_port.proto.upgrade import upgrade_net

UNSUPPORTED, WRONG, NOTE = "unsupported", "wrong", "note"
"""Kinds of finding: what we do not have; what is wrong with the file itself; what only needs telling."""


@dataclass(frozen=True, order=True)
class Finding:
    """`line` 0: the file as a whole. `subject`: what it is about, the same for all files that have it; by default the
    message."""

    line: int
    message: str
    kind: str = WRONG
    subject: str = ""


@dataclass
class Report:
    path: str
    what: str = "net"
    """What the file is: "net", "solver", "other"."""
    findings: dict[Finding, set[str]] = field(default_factory=dict)
    """Each with the states of the net, keys of `layers`, that it was found in."""
    layers: dict[str, int] = field(default_factory=dict)
    """Layers by phase."""
    state: str = ""
    """The state of the net that is being checked."""
    unchecked: int = 0
    """Layers whose shapes could not be checked: a bottom's shape is not known, or their Python module not here."""
    half_read: set[int] = field(default_factory=set)
    """Lines of the layers with a field that is not known: what they compute is not known either."""

    @property
    def problems(self) -> list[Finding]:
        return sorted(f for f in self.findings if f.kind != NOTE)

    @property
    def notes(self) -> list[Finding]:
        return sorted(f for f in self.findings if f.kind == NOTE)

    def add(self, line: int, message: str, kind: str = WRONG, subject: str = "") -> None:
        states = self.findings.setdefault(Finding(line, message, kind, subject or message), set())
        if self.state:
            states.add(self.state)

    def failed(self, line: int, error: Exception, layer: Any = None) -> None:
        """What an exception says, about `layer` where there is one."""
        message, subject = str(error), ""
        if not isinstance(error, CaffeError):  # whatever a file can make a layer do must end in a line of the report
            message = f"cannot be set up: {type(error).__name__}: {message}"
        if layer is not None:
            title = f"layer '{layer.name}' ({layer.type}): "
            message = message if message.startswith("layer '") else title + message
            subject = f"{layer.type}: {message.removeprefix(title)}"
        self.add(line, message, UNSUPPORTED if isinstance(error, UnsupportedError) else WRONG, subject)

    def lines(self, notes: bool = True) -> list[str]:
        """One line a finding, problems first, then the verdict."""
        shown = [(f, "") for f in self.problems] + [(f, "note: ") for f in self.notes if notes]
        out = [f"{self.path}{f':{f.line}' if f.line else ''}: {kind}{f.message}{self._where(f)}" for f, kind in shown]
        return [*out, f"{self.path}: {self._verdict()}"]

    def _where(self, finding: Finding) -> str:
        """Which of the net's states it is about, where it is not about all."""
        states = self.findings[finding]
        return f" (in {', '.join(sorted(states))})" if 0 < len(states) < len(self.layers) else ""

    def _verdict(self) -> str:
        verdict = f"{len(self.problems)} problem{'s' * (len(self.problems) != 1)}" if self.problems else "no problems"
        if self.what != "net":
            return f"{verdict} ({'a solver' if self.what == 'solver' else 'not a net'})"
        checked = ", ".join(f"{count} layers in {phase}" for phase, count in self.layers.items())
        rest = f"; {self.unchecked} not checked beyond their type, for want of a shape" if self.unchecked else ""
        return f"{verdict} ({checked or 'nothing built'}{rest})"


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
        tell_unknown(read, report)
        net = upgrade_net(read.message)
        lines = _lines(net, read)
        shapes = inputs.parse(given)
        shapeless = _shapeless(read.message, net)
        if shapeless:
            net, lines = _with_inputs(net, shapeless), [0, *lines]
        for name in shapeless:
            said = f"input '{name}' has no shape: give it an input_shape"
            report.add(0, said, subject="an input without a shape")
    except CaffeError as error:
        report.add(*located(path, error))
        return report
    for unknown in read.unknown:
        if unknown.fatal and "layer" in unknown.where:
            report.half_read.add(read.layer_lines[bisect.bisect_right(read.layer_lines, unknown.line) - 1])
    check_net(net, phases, report, lines, level, stages, shapes)
    return report


def _shapeless(message: Any, net: Any) -> list[str]:
    """Inputs that nothing gives a shape or makes; the upgrade takes them away, and Caffe then misses them."""
    if message.input_shape or message.input_dim:
        return []
    return [name for name in message.input if not any(name in layer.top for layer in net.layer)]


def _with_inputs(net: Any, names: Sequence[str]) -> Any:
    """The net with its inputs without a shape, which the upgrade takes away, so that the rest is checked."""
    out = type(net)()
    out.CopyFrom(net)
    del out.layer[:]
    out.layer.add(name="input", type="Input", top=names)
    out.layer.extend(net.layer)
    return out


def tell_unknown(read: text.Text, report: Report) -> None:
    for unknown in read.unknown:
        problem = unknown.problem or unknown.name
        kind = UNSUPPORTED if unknown.fatal else NOTE
        report.add(unknown.line, f"{unknown.where}: {problem}; {unknown.hint}", kind, problem)


def check_net(
    net: Any,
    phases: Sequence[str],
    report: Report,
    lines: Sequence[int],
    level: int = 0,
    stages: Sequence[str] = (),
    given: Mapping[str, Shape] | None = None,
) -> None:
    """Add to the report what is wrong with an upgraded net; `lines` are its layers', one each."""
    net.state.level = level
    net.state.stage.extend(s for s in stages if s not in net.state.stage)
    seen: dict[bytes, str] = {}
    not_made_for: list[tuple[int, str]] = []
    states = [(phase, "") for phase in phases]
    for phase, stage in states:
        number, state = caffe_pb2.Phase.Value(phase), f"{phase} with stage {stage}" if stage else phase
        kept = _filter(net, number, lines, report, stage)
        key = b"|".join(layer.SerializeToString(deterministic=True) for layer, _ in kept)
        if key in seen:  # the same net in both states
            both = f"{seen[key]} and {state}"
            report.layers[both] = report.layers.pop(seen[key])
            seen[key] = both
            continue
        lacking = _lacking(net, kept, phase)
        if lacking and not stage:
            not_made_for.append(lacking[:2])
            states += [(phase, one) for one in lacking[2] if len(phases) > 1]  # a net of stages: each by itself
        if not kept or (lacking and (stage or len(phases) > 1)):
            continue
        seen[key] = report.state = state
        report.layers[state] = len(kept)
        _check_layers(net, kept, number, given or {}, report)
        report.state = ""
    for line, message in not_made_for:
        report.add(line, message, NOTE if report.layers else WRONG)
    if not net.layer:
        report.add(0, "the net has no layers")
    elif not report.layers and not report.problems:
        report.add(0, "none of the net's layers is in it in this state; see --phase, --level and --stage")


def _lacking(net: Any, kept: list[tuple[Any, int]], phase: str) -> tuple[int, str, list[str]] | None:
    """Where and why the file is no net in this state, and in which stages it might be: a blob is read that only layers
    make which are not in it."""
    there = {top for layer, _ in kept for i, top in enumerate(layer.top) if not _in_place(layer, i)}
    for layer, line in kept:
        for bottom in layer.bottom:
            if bottom in there:
                continue
            makers = [other for other in net.layer if bottom in other.top and (other.include or other.exclude)]
            if not makers:
                continue
            stages = list(dict.fromkeys(s for other in makers for rule in other.include for s in rule.stage))
            hint = f"; give --stage {' or --stage '.join(stages)}" if stages else ""
            message = (
                f"not a net in phase {phase}: layer '{layer.name}' ({layer.type}) reads '{bottom}', "
                f"and layer '{makers[0].name}' ({makers[0].type}), which makes it, is not in this phase{hint}"
            )
            return line, message, stages
    return None


def _filter(net: Any, phase: int, lines: Sequence[int], report: Report, stage: str = "") -> list[tuple[Any, int]]:
    """The layers that are in the net in this phase, and in this stage besides its own, with their lines."""
    kept = []
    stages = [*net.state.stage, stage] if stage else list(net.state.stage)
    for layer, line in zip(net.layer, lines, strict=True):
        alone = type(net)(name=net.name, state=net.state, layer=[layer])
        try:
            kept += [(one, line) for one in filter_net(alone, phase, net.state.level, stages).layer]
        except CaffeError as error:
            report.failed(line, error)
    return kept


def _check_layers(
    net: Any, kept: list[tuple[Any, int]], phase: int, given: Mapping[str, Shape], report: Report
) -> None:
    shapes: dict[str, Shape | None] = {}
    inputs_made: dict[str, Shape] = {}
    before = len(report.problems)
    known_all = True
    for param, line in kept:
        title = f"layer '{param.name}' ({param.type})"
        for bottom in param.bottom:
            if bottom not in shapes:
                report.add(
                    line,
                    f"{title}: unknown bottom blob '{bottom}': no layer before it makes it",
                    subject=f"{param.type}: a bottom that no layer before it makes",
                )
        for i, top in enumerate(param.top):
            if top in shapes and not _in_place(param, i):
                report.add(
                    line,
                    f"{title}: top blob '{top}' is made by a layer before it already; "
                    "rename one of the two tops, or make the layer in-place by giving it the same bottom",
                    subject=f"{param.type}: a top that another layer makes",
                )
        found = _check_layer(param, phase, [shapes.get(b) for b in param.bottom], given, line, report)
        tops = dict(zip(param.top, found or [given.get(top) for top in param.top], strict=False))
        known_all = known_all and None not in tops.values()
        shapes.update(tops)
        if inputs.role(param) in ("input", "data"):
            inputs_made.update({top: shape for top, shape in tops.items() if shape})
    if known_all and len(report.problems) == before:
        _check_graph(net, kept, phase, inputs_made, report)


def _in_place(layer: Any, top: int) -> bool:
    return list(layer.bottom[top : top + 1]) == [layer.top[top]]


def _check_layer(
    param: Any, phase: int, bottoms: list[Shape | None], given: Mapping[str, Shape], line: int, report: Report
) -> list[Shape | None] | None:
    """Top shapes of one layer; None where they cannot be known."""
    if not param.type and line in report.half_read:  # it is the type that could not be read
        return None
    try:
        layer = graph.layer_class(param)(param, phase)
    except UnsupportedError as error:
        report.add(line, str(error), UNSUPPORTED, f"unknown layer type '{param.type}'")
        return None
    try:
        _check_counts(layer, param)
        graph.refuse_fork_options(layer)
        if line in report.half_read:
            return None
        if layer.role == "input":
            return _input_shapes(layer, given, line, report)
        if layer.role == "data":
            return _data_shapes(layer, param, given, line, report)
        if any(shape is None for shape in bottoms):
            if isinstance(layer, Python):
                layer.load_class()
            report.unchecked += 1
            return None
        known = [shape for shape in bottoms if shape is not None]
        with torch.device("meta"):  # no memory is needed to know what fits
            layer.setup(known)
            return list(layer.top_shapes(known))
    except Exception as error:
        if isinstance(layer, Python) and isinstance(error, ImportError):
            report.unchecked += 1
            missing = f"Python layer of module '{param.python_param.module}', which is not here"
            report.add(line, f"{error} (checked without it)", NOTE, missing)
        elif isinstance(error.__context__, FileNotFoundError):  # an infogain matrix, a list of sizes
            report.unchecked += 1
            report.add(line, f"{error} (checked without it)", NOTE, f"{param.type}: a file that it reads is not here")
        else:
            report.failed(line, error, param)
    return None


def _input_shapes(layer: Layer, given: Mapping[str, Shape], line: int, report: Report) -> list[Shape | None]:
    """An Input without a shape is one that the program gives; () is what Caffe calls it until then."""
    layer.setup([])
    told = layer.top_shapes([])
    shapes = [given.get(top) or shape or None for top, shape in zip(layer.param.top, told, strict=True)]
    for top, shape in zip(layer.param.top, shapes, strict=True):
        if shape is None:
            report.add(
                line,
                f"{layer.title}: input '{top}' has no shape; give it with --input {top}:1,3,224,224",
                NOTE,
            )
    return shapes


def _data_shapes(
    layer: Layer, param: Any, given: Mapping[str, Shape], line: int, report: Report
) -> list[Shape | None] | None:
    if not any(top in given for top in param.top):
        try:
            with torch.device("meta" if isinstance(layer, DummyData) else "cpu"):
                layer.setup([])
            return list(layer.top_shapes([]))
        except (CaffeError, OSError) as error:
            report.add(line, f"{error} (checked without the data)", NOTE, f"{param.type}: its data is not here")
    shapes = inputs.of_data_layer(param, given)
    for top, shape in zip(param.top, shapes, strict=True):
        if shape is None:
            report.add(
                line,
                f"{layer.title}: the shape of '{top}' is not known; give it with --input {top}:1,3,224,224",
                NOTE,
            )
    return shapes


def _check_counts(layer: Layer, param: Any) -> None:
    for kind, count, (least, most) in (
        ("bottom", len(param.bottom), layer.bottoms),
        ("top", len(param.top), layer.tops),
    ):
        if kind == "top" and layer.auto_tops:
            least = 0
        graph.check_count(layer, kind, count, least, most)


def _check_graph(
    net: Any, kept: list[tuple[Any, int]], phase: int, shapes: Mapping[str, Shape], report: Report
) -> None:
    """What only the net as a whole shows (two makers of one blob, loss weights, ...): the first such thing. `shapes`
    are those of the inputs' and data layers' tops."""
    whole = type(net)(name=net.name, state=net.state, layer=[layer for layer, _ in kept])
    try:
        with torch.device("meta"):
            graph.build(insert_splits(inputs.replace(whole, shapes)), phase)
    except CaffeError as error:
        if isinstance(error.__context__, FileNotFoundError):
            return  # told at its layer
        message = str(error)
        places = [(message.find(f"layer '{layer.name}'"), line) for layer, line in kept]
        first = min((found for found in places if found[0] >= 0), default=(0, 0))
        report.add(first[1], message, UNSUPPORTED if isinstance(error, UnsupportedError) else WRONG)
    except Exception as error:  # as in Report.failed
        report.add(0, f"the net cannot be built: {type(error).__name__}: {error}")


def _lines(net: Any, read: text.Text) -> list[int]:
    """The line of every layer of the upgraded net, by the n-th layer of each name; 0 for what the upgrade made."""
    message = read.message
    names = [layer.name for layer in message.layer] or [layer.name or layer.layer.name for layer in message.layers]
    places: dict[str, list[int]] = {}
    for name, line in zip(names, read.layer_lines, strict=False):
        places.setdefault(name, []).append(line)
    return [places[layer.name].pop(0) if places.get(layer.name) else 0 for layer in net.layer]


def located(path: str, error: CaffeError) -> tuple[int, str]:
    """Line and message of an error whose own message may begin with the place."""
    message = str(error)
    if isinstance(error, PrototxtError) and message.startswith(f"{path}:"):
        place, _, rest = message[len(path) + 1 :].partition(": ")
        line = place.split(":")[0]
        if line.isdigit():
            return int(line), rest
    return 0, message
