"""The table of one-trap nets: every net through the runtime, ONNX, that ONNX read back into stock Caffe layers, and
standalone PyTorch, against a genuine Caffe.

    python tools/trap_table.py                          # writes TRAPS.md
    python tools/trap_table.py --record PYTHON          # asks the genuine Caffe of that interpreter, anew

Right: every output is Caffe's to 2e-4 of its scale. Refused: stopped with an error that names the layer. Wrong:
anything else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from caffe_port.errors import CaffeError
from converters.compare import difference
from converters.from_onnx import walk
from converters.onnx_check import run_onnx, run_ours
from converters.onnx_model import export, value_names
from converters.torch_source import run_source
from converters.torch_source import write as write_source
from tests.converters import trap_layers, trap_nets
from tests.converters.traps import GOLDEN, Question, Trap, answer, question

TOLERANCE = 2e-4
RIGHT, REFUSED, WRONG = "right", "refused", "wrong"
Outputs = dict[str, np.ndarray]
PUBLISHED = (  # on a set of 102 such nets: right, silently wrong
    ("OpenCV 4.14", 76, 5), ("OpenVINO 2023.3", 73, 4), ("MNN", 69, 22), ("caffe2onnx (pip)", 44, 7), ("MMdnn", 24, 9),
)  # fmt: skip

WORKER = """
import os, sys
import caffe, numpy as np

def ask(stem):
    net = caffe.Net(stem + ".prototxt", caffe.TEST)
    given = np.load(stem + ".in.npz")
    for name in net.params:
        for i, blob in enumerate(net.params[name]):
            blob.data[...] = given["param.%s.%d" % (name, i)].reshape(blob.data.shape)
    for name in net.inputs:
        net.blobs[name].reshape(*given["input." + name].shape)
        net.blobs[name].data[...] = given["input." + name]
    net.forward()
    np.savez(stem + ".out.npz", **{name: net.blobs[name].data for name in net.outputs if name not in net.inputs})

for stem in sys.argv[1:]:
    child = os.fork()  # a failed CHECK ends the process
    if not child:
        ask(stem)
        os._exit(0)
    os.waitpid(child, 0)
"""


def every_trap() -> list[Trap]:
    return trap_layers.traps() + trap_nets.traps()


def by_runtime(asked: Question, folder: Path) -> Outputs:
    net = asked.model().runtime()
    values = run_ours(net, asked.inputs)
    return {name: values[net.graph.last[name].id] for name in net.outputs if name not in net.inputs}


def by_onnx(asked: Question, folder: Path) -> Outputs:
    net = asked.model().runtime()
    names = value_names(net)
    made = run_onnx(export(net), asked.inputs)
    outputs = {name: names[net.graph.last[name].id] for name in net.outputs}
    return {name: made[inside] for name, inside in outputs.items() if inside in made}


def by_onnx_in(asked: Question, folder: Path) -> Outputs:
    net = asked.model().runtime()
    names, exported = value_names(net), export(net)
    again, blobs = walk(exported.model, exported.initializers, {}, "the written ONNX")
    stock = again.runtime()
    values = run_ours(stock, {name: array for name, array in asked.inputs.items() if name in stock.inputs})
    outputs = {name: blobs.get(names[net.graph.last[name].id]) for name in net.outputs}
    return {name: values[stock.graph.last[blob].id] for name, blob in outputs.items() if blob}


def by_source(asked: Question, folder: Path) -> Outputs:
    model = asked.model()
    write_source(model, folder / "net.py")
    return run_source(folder / "net.py", asked.inputs, model.runtime())


WAYS: dict[str, Callable[[Question, Path], Outputs]] = {
    "runtime": by_runtime, "ONNX": by_onnx, "ONNX read back": by_onnx_in, "PyTorch": by_source,
}  # fmt: skip


def verdict(trap: Trap, way: str, folder: Path) -> tuple[str, str]:
    """`right`, `refused` or `wrong`, and why."""
    try:
        made = WAYS[way](question(trap, folder), folder)
    except CaffeError as e:
        return REFUSED, " ".join(str(e).split())
    except Exception as e:  # not ours: the engine broke on what we gave it
        return WRONG, f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"
    wanted = answer(trap)
    if not wanted or wanted.keys() - made.keys():
        return WRONG, f"outputs {sorted(made)}, Caffe's are {sorted(wanted)}"
    for name, array in wanted.items():
        apart = difference(array, made[name])
        if array.shape != made[name].shape:
            return WRONG, f"{name}: shape {made[name].shape}, Caffe's is {array.shape}"
        if not apart.relative <= TOLERANCE:
            return WRONG, f"{name}: {apart}"
    return RIGHT, ""


def record(python: str) -> None:
    """Ask the genuine Caffe of interpreter `python` about every trap but those of the golden files."""
    stored: Outputs = {}
    with tempfile.TemporaryDirectory() as name:
        stems = {trap.name: Path(name) / trap.name for trap in every_trap() if not trap.golden}
        for trap in every_trap():
            if trap.name in stems:
                asked = question(trap, Path(name))
                arrays = {f"input.{k}": v for k, v in asked.inputs.items()}
                arrays |= {f"param.{la.name}.{i}": b for la in asked.layers for i, b in enumerate(la.blobs)}
                with open(f"{stems[trap.name]}.in.npz", "wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type]
        subprocess.run([python, "-c", WORKER, *map(str, stems.values())], check=True)
        for trap_name, stem in stems.items():
            taken = Path(f"{stem}.out.npz")
            if not taken.exists():
                print(f"{trap_name}: no answer")
                continue
            with np.load(taken) as held:
                stored |= {f"{trap_name}|{key.replace('/', '%2F')}": held[key].astype(np.float32) for key in held.files}
    np.savez_compressed(GOLDEN / "traps.npz", **stored)  # type: ignore[arg-type]


def table() -> str:
    traps = every_trap()
    with tempfile.TemporaryDirectory() as name:
        found = {trap.name: {way: verdict(trap, way, Path(name)) for way in WAYS} for trap in traps}
    counts = {way: Counter(row[way][0] for row in found.values()) for way in WAYS}
    lines = [
        "# One-trap nets", "",
        f"{len(traps)} nets, each isolating one rule, answered by a genuine Caffe (CPU). Right: every output",
        f"to {TOLERANCE:g} of its scale. By `python tools/trap_table.py`; the nets: `tests/converters/trap_*.py`.",
        "ONNX read back: the written ONNX as layers of BVLC Caffe alone, made of its operators.", "",
        f"| of {len(traps)} | right | refused by name | silently wrong |", "|---|---|---|---|",
        *(f"| caffe_port, {way} | {c[RIGHT]} | {c[REFUSED]} | {c[WRONG]} |" for way, c in counts.items()), "",
        "Published for others on another set of such nets (102), for scale only:", "",
        "| | right | silently wrong |", "|---|---|---|",
        *(f"| {name} | {right} | {wrong} |" for name, right, wrong in PUBLISHED), "",
        "| net | " + " | ".join(WAYS) + " | |", "|---|" + "---|" * (len(WAYS) + 1),
    ]  # fmt: skip
    for name, row in found.items():
        why = next((reason for _, reason in row.values() if reason), "").replace("|", "\\|")
        lines.append(f"| {name} | " + " | ".join(state for state, _ in row.values()) + f" | {why} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", metavar="PYTHON", help="an interpreter with a genuine Caffe to ask")
    parser.add_argument("--out", type=Path, default=ROOT / "TRAPS.md", help="the table (default TRAPS.md)")
    args = parser.parse_args()
    if args.record:
        record(args.record)
    args.out.write_text(table(), encoding="utf-8")
    print(args.out)


if __name__ == "__main__":
    main()
