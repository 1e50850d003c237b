"""A genuine pycaffe: in this interpreter, or in another one that the user names (`--caffe-python PATH`).

Always a process of its own: a failed CHECK in Caffe ends the process. Arrays travel as an npz each way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np

from caffe_port.errors import ConvertError
from converters.engines import Arrays, Case

SCRIPT = Path(__file__).with_name("caffe_worker.py")
SECONDS = 600


class Engine:
    name = "caffe"

    def why_not(self, case: Case) -> str | None:
        """Whether the interpreter has a genuine Caffe (and not our own face of it)."""
        return _probe(case.caffe_python or sys.executable)

    def version(self, case: Case) -> str:
        return _ask(case.caffe_python or sys.executable, "version").strip()

    def run(self, case: Case) -> Arrays:
        answer = self._exchange(case, "forward")
        names = json.loads(str(answer["names"]))
        return case.by_value({(layer, top): answer[f"a{i}"] for i, (layer, top) in enumerate(names)})

    def gradients(self, case: Case) -> Arrays:
        answer = self._exchange(case, "backward")
        slots = {}
        for layer in case.reference_net.layers:
            slots.update({(layer.name, i): f"{layer.name}.{blob}" for i, blob in enumerate(layer.present_blobs)})
        diffs = {}
        for i, (kind, name, index) in enumerate(json.loads(str(answer["names"]))):
            key = name if kind == "blob" else slots.get((name, index))
            if key is not None:
                diffs[key] = answer[f"a{i}"]
        return diffs

    def _exchange(self, case: Case, verb: str) -> Arrays:
        given, taken = case.folder / f"{verb}_in.npz", case.folder / f"{verb}_out.npz"
        names = list(case.inputs), list(case.seeds)
        arrays = list(case.inputs.values()) + list(case.seeds.values())
        np.savez(given, names=json.dumps(names), **{f"a{i}": array for i, array in enumerate(arrays)})  # type: ignore[arg-type]
        _ask(case.caffe_python or sys.executable, verb, *map(str, case.pair), str(given), str(taken))
        with np.load(taken, allow_pickle=False) as answer:
            return dict(answer)


@cache
def _probe(python: str) -> str | None:
    try:
        _ask(python, "version")
    except ConvertError as e:
        return f"no genuine Caffe in {python}; name an interpreter that has one (caffe_python=...): {e}"
    return None


def _ask(python: str, *arguments: str) -> str:
    """Run the worker; its output. What it printed last is in the error when it fails."""
    command = [python, "-c", SCRIPT.read_text(encoding="utf-8"), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd="/", env=_environment())
    except (OSError, subprocess.TimeoutExpired) as e:
        raise ConvertError(f"{python}: {e}") from e
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        fatal = [line for line in said if line.startswith("F")] or said[-1:]
        raise ConvertError(f"{python} failed ({done.returncode}): {fatal[0]}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"GLOG_minloglevel": "2"}
