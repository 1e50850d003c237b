"""The same inputs through every engine at hand, and every blob side by side: where they part first, and by how much.

result = validate("deploy.prototxt", "net.caffemodel")
print(format_table(result))
result.ok, result.to_json(), html(result)          # html is in validate_page.py
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import ConvertError
from caffe_port.graph import Node
from converters import caffemodel, hub
from converters.compare import TOLERANCE, Difference, difference
from converters.deploy import deploy, parse_inputs
from converters.deviations import known_deviation
from converters.engines import Arrays, Case, all_engines, scratch_folder
from converters.inputs import random_inputs
from converters.model import Model
from converters.onnx_model import is_automatic_split

REFERENCE = "functional"
GRADIENT_SLACK = 10
"""Gradients may differ by this many tolerances: rounding passes the net twice, and sums over pixels cancel."""
SAME, DIFFERS, KNOWN = "same", "differs", "known"


@dataclass(frozen=True)
class Row:
    """One value (or gradient) in one engine against the reference. `depth` is the place of its layer in the net."""

    value: str
    layer: str
    type: str
    depth: int
    engine: str
    difference: Difference
    verdict: str
    note: str = ""
    gradient: bool = False


@dataclass
class EngineRun:
    """What became of one engine: how many values it gave, or why none (`absent`: not here; `failed`: broke).

    `required`: it was asked for by name, so that failing is an answer; others may be unable to run a net.
    """

    name: str
    version: str = ""
    values: int = 0
    seconds: float = 0.0
    absent: str = ""
    failed: str = ""
    required: bool = True


@dataclass
class Validation:
    """All rows in depth order, and the engines.

    `ok`: some engine ran beside the reference, none differs for a reason of ours, and none that was asked for failed.
    """

    net: str
    tolerance: float
    inputs: dict[str, tuple[int, ...]]
    engines: list[EngineRun] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return (
            bool(self.rows)
            and not any(r.verdict == DIFFERS for r in self.rows)
            and not any(e.failed and e.required for e in self.engines)
        )

    def of(self, engine: str, gradient: bool = False) -> list[Row]:
        return [row for row in self.rows if row.engine == engine and row.gradient == gradient]

    def first_diverging(self, engine: str) -> Row | None:
        """The first value in depth order that differs in `engine` for no known reason."""
        return next((row for row in self.rows if row.engine == engine and row.verdict == DIFFERS), None)

    def to_json(self) -> str:
        # JSON has no infinities and no NaN.
        return json.dumps(_plain({**asdict(self), "ok": self.ok}), indent=1)


def validate(
    model: Model | str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    against: Sequence[str] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    input: Any = None,
    seed: int = 0,
    batch: int | None = None,
    tolerance: float = TOLERANCE,
    caffe_python: str | None = None,
    gradients: bool = False,
    original: bool = False,
) -> Validation:
    """Run `model` (a Model, or a prototxt with its `weights`, or any file of net and weights) through engines and
    compare.

    `against`: names of engines; None: all that are installed (an engine asked for by name that cannot run is an error).
    `inputs`: arrays by input name, else normal numbers from `seed` at the net's shapes (`input` as in
    `converters.read`; `batch` replaces the batch size). `tolerance` is relative to each blob's own scale.
    `caffe_python`: an interpreter that has a genuine Caffe. `gradients`: also diffs, of a random weighting of the
    outputs, where the engine has a backward pass. `original`: engines that read Caffe's own files (OpenCV, Caffe) get
    the two given files as they are, and not the deploy net and weights that we made of them.
    """
    pair = _original(model, weights) if original else None
    model = _model(model, weights, input)
    engines = all_engines()
    chosen = [name for name in engines if name != REFERENCE] if against is None else list(against)
    unknown = [name for name in chosen if name not in engines]
    if unknown:
        raise ConvertError(
            f"no engine is called {', '.join(unknown)}; there are {', '.join(e for e in engines if e != REFERENCE)}"
        )
    arrays = dict(inputs) if inputs is not None else random_inputs(model.runtime(), seed, batch)
    _check_inputs(model, arrays)
    with scratch_folder() as folder:
        case = Case(
            model,
            {k: np.ascontiguousarray(a, np.float32) for k, a in arrays.items()},
            Path(folder),
            caffe_python,
            original=pair,
        )
        result = Validation(
            model.name, tolerance, {k: a.shape for k, a in case.inputs.items()}, notes=list(model.notes)
        )
        reference = _run(engines[REFERENCE], case, result, required=True)
        ours, our_diffs = reference
        if gradients:
            rng = np.random.default_rng(seed + 1)
            net = case.reference_net
            case.seeds = {
                n: rng.standard_normal(ours[net.graph.last[n].id].shape).astype(np.float32) for n in net.outputs
            }
            our_diffs = engines[REFERENCE].gradients(case)
        for name in chosen:
            theirs, diffs = _run(engines[name], case, result, required=against is not None, gradients=gradients)
            version = result.engines[-1].version
            result.rows += _rows(case, name, version, ours, theirs, tolerance)
            result.rows += _gradient_rows(case, name, version, our_diffs, diffs, GRADIENT_SLACK * tolerance)
    result.rows.sort(key=lambda row: (row.gradient, -row.depth if row.gradient else row.depth))
    return result


def _model(model: Model | str | os.PathLike[str], weights: str | os.PathLike[str] | None, input: Any) -> Model:
    if isinstance(model, Model):
        return hub.deployed(model, input)
    return hub.read(weights, model, input) if weights is not None else hub.read(model, None, input)


def _original(model: Any, weights: Any) -> tuple[Path, Path]:
    if weights is None or isinstance(model, Model) or hub.format_of(weights, "read").__name__ != caffemodel.__name__:
        raise ConvertError("original files are a prototxt and its .caffemodel; give both")
    return Path(model), Path(weights)


def _check_inputs(model: Model, arrays: Mapping[str, Any]) -> None:
    deploy(model.net, parse_inputs({name: np.shape(array) for name, array in arrays.items()}))  # unknown names
    lacking = [name for name in model.runtime().inputs if name not in arrays]
    if lacking:
        raise ConvertError(f"no array is given for input {', '.join(lacking)}")


def _run(engine: Any, case: Case, result: Validation, required: bool, gradients: bool = False) -> tuple[Arrays, Arrays]:
    """The engine's values and diffs. What goes wrong is kept in `result`; one asked for that is not here raises."""
    run = EngineRun(engine.name, required=required)
    result.engines.append(run)
    why = engine.why_not(case)
    if why:
        if required:
            raise ConvertError(f"engine {engine.name}: {why}")
        run.absent = why
        return {}, {}
    run.version = engine.version(case)
    values: Arrays = {}
    start = time.perf_counter()
    try:
        values = engine.run(case)
        run.values, run.seconds = len(values), time.perf_counter() - start
        return values, engine.gradients(case) if gradients and hasattr(engine, "gradients") else {}
    except Exception as e:  # other people's engines raise what they like; the reference's own errors go to the user
        if engine.name == REFERENCE:
            raise
        run.failed = " ".join(f"{type(e).__name__}: {e}".split())
        return values, {}


def _rows(case: Case, engine: str, version: str, ours: Arrays, theirs: Arrays, tolerance: float) -> list[Row]:
    rows: list[Row] = []
    explained: dict[str, str] = {}  # value id -> the known deviation that it, or something above it, suffers from
    net = case.reference_net
    for node in net.graph.nodes:
        inherited = next((explained[b.id] for b in node.bottoms if b.id in explained), "")
        for top in node.tops:
            if inherited:
                explained[top.id] = inherited
            if (
                top.id not in theirs
                or top.id not in ours
                or node.layer.role == "input"
                or is_automatic_split(net, node)
            ):
                continue
            apart = difference(ours[top.id], theirs[top.id])
            verdict, note = SAME, ""
            if not apart.relative <= tolerance:
                own = known_deviation(engine, version, node)
                note = own or (f"follows from: {inherited}" if inherited else "")
                verdict = KNOWN if note else DIFFERS
                if own:
                    explained[top.id] = own
            rows.append(Row(top.id, node.name, node.param.type, node.index, engine, apart, verdict, note))
    return rows


def _gradient_rows(
    case: Case, engine: str, version: str, ours: Arrays, theirs: Arrays, tolerance: float
) -> list[Row]:
    """Diffs of blobs (as they stand after the whole backward pass) and of parameters."""
    nodes = case.reference_net.graph.nodes
    place: dict[str, Node] = {top.id: node for node in nodes for top in node.tops}
    place.update({f"{node.name}.{blob}": node for node in nodes for blob in node.layer.present_blobs})
    explained = _reached(nodes, engine, version)
    rows = []
    for name in (n for n in ours if n in theirs and n in place):
        node, apart = place[name], difference(ours[name], theirs[name])
        known = explained.get(node.index)
        verdict = SAME if apart.relative <= tolerance else KNOWN if known else DIFFERS
        note = f"follows from: {known}" if verdict == KNOWN else ""
        rows.append(Row(name, node.name, node.param.type, node.index, engine, apart, verdict, note, gradient=True))
    return rows


def _reached(nodes: Sequence[Node], engine: str, version: str) -> dict[int, str]:
    """The layers whose diffs a known deviation reaches: what stands below it computes from other values, and diffs flow
    up from there and from the layer itself."""
    found = {node.index: text for node in nodes if (text := known_deviation(engine, version, node))}
    maker = {top.id: node.index for node in nodes for top in node.tops}
    for node in nodes:
        for bottom in node.bottoms:
            if maker[bottom.id] in found:
                found.setdefault(node.index, found[maker[bottom.id]])
    for node in reversed(nodes):
        if node.index in found:
            for bottom in node.bottoms:
                found.setdefault(maker[bottom.id], found[node.index])
    return found


def format_table(result: Validation, every: bool = False) -> str:
    """The result as text. Rows that are the same are counted, and listed only with `every`."""
    inputs = ", ".join(f"{name} {shape}" for name, shape in result.inputs.items())
    lines = [f"net '{result.net}', inputs {inputs}, tolerance {result.tolerance:g}"]
    lines += [f"  {run.name:<12} {run.version:<22} {_state(run)}" for run in result.engines]
    wanted = [row for row in result.rows if every or row.verdict != SAME]
    if wanted:
        width = max(len(row.value) for row in wanted) + 2
        lines.append(f"  {'engine':<12} {'blob':<{width}} verdict        abs       rel    cosine  layer, where")
    for row in wanted:
        d, blob = row.difference, ("d " if row.gradient else "") + row.value
        numbers = f"{d.absolute:9.2e} {d.relative:9.2e} {d.cosine:9.6f}"
        where = f"{row.layer} ({row.type}) {d.problem or d.index} {row.note}".rstrip()
        lines.append(f"  {row.engine:<12} {blob:<{width}} {row.verdict:<8} {numbers}  {where}")
    for run in result.engines:
        lines += _verdict_lines(result, run)
    return "\n".join(lines + [f"  note: {note}" for note in result.notes])


def _state(run: EngineRun) -> str:
    if run.absent:
        return f"not here: {run.absent}"
    return (
        f"{'FAILED' if run.required else 'cannot run it'}: {run.failed}"
        if run.failed
        else f"{run.values} values, {run.seconds:.2f} s"
    )


def _verdict_lines(result: Validation, run: EngineRun) -> list[str]:
    lines = []
    for gradient in (False, True):
        rows = result.of(run.name, gradient)
        if not rows:
            continue
        worst = max(rows, key=lambda r: r.difference.relative)
        counts = {v: sum(r.verdict == v for r in rows) for v in (SAME, KNOWN, DIFFERS)}
        shown = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        kind = "gradients" if gradient else "blobs"
        line = f"{run.name}: {kind}: {shown}; worst {worst.difference.relative:.2g} at '{worst.value}'"
        first = next((r for r in rows if r.verdict == DIFFERS), None)
        lines.append(
            line + (f"; first differs at layer '{first.layer}' ({first.type}): {first.difference}" if first else "")
        )
    return lines


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
