"""`PREFIX_iter_N.resume`: what Caffe's two snapshot files leave out, so that a resumed run loses nothing, not one bit.

It holds where every data layer stands (cursor, order, the transformer's random stream, of the batch last delivered, not
of those made ahead), the random streams of torch, NumPy and Python, what other layers remember (`Layer.memory`: the
states of recurrent ones), and the losses that `average_loss` still counts; for every net, and for every process of a
parallel run. It does not hold what Python layers keep to themselves, nor files that layers write (HDF5Output begins
anew).

The file is a NumPy archive without pickles: per process `<rank>.facts`, JSON in UTF-8, and arrays under the names that
the facts use.
"""

from __future__ import annotations

import json
import os
import random
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from caffe_port import log
from caffe_port.atomic import atomic_write
from caffe_port.errors import SolverError
from caffe_port.layers.base import Layer
from caffe_port.solver.smoothing import SmoothedLoss

if TYPE_CHECKING:
    from caffe_port.solver.base import Solver

VERSION = 1


@dataclass
class Captured:
    """One process's state: `facts` are plain JSON, `arrays` by name."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def repeatable(device: torch.device) -> None:
    """On a GPU sums whose order changes from run to run would part a resumed run from the other: choose kernels that
    keep theirs. Where torch has none it warns, once an operation. Slower; the CPU's kernels keep the order anyhow.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts; without it sums may vary
    torch.use_deterministic_algorithms(True, warn_only=True)
    switches: Any = torch.utils.deterministic
    switches.fill_uninitialized_memory = False  # writing NaN into new memory only finds bugs


def file_name(state: str | os.PathLike[str]) -> str:
    """The file's name beside that of a `.solverstate` or `.solverstate.h5`."""
    return re.sub(r"\.solverstate(\.h5)?$", "", str(state)) + ".resume"


def capture(solver: Solver) -> Captured:
    """Where the solver stands now, between two iterations."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - the stream that Python layers use
    arrays = {"torch": torch.get_rng_state().numpy(), "numpy": np.asarray(keys)}
    if solver.net.device.type == "cuda":
        arrays["cuda"] = torch.cuda.get_rng_state(solver.net.device).numpy()
    layers: dict[str, Any] = {}
    for title, layer in _layers(solver):
        layers[title] = layer.state() if layer.role == "data" else _remembered(title, layer, arrays)
    facts = {
        "version": VERSION,
        "iter": solver.iter,
        "layers": layers,
        "loss": solver.smoothed.state(),
        "numpy": [kind, int(position), int(has_gauss), float(gauss)],
        "python": random.getstate(),
    }
    return Captured(json.loads(json.dumps(facts)), arrays)


def restore(solver: Solver, path: str | os.PathLike[str], captured: Sequence[Captured]) -> SmoothedLoss:
    """Bring the solver, already at the snapshot's iteration, to where it stood; gives the loss to go on with."""
    where, team = file_name(path), solver.team
    if len(captured) != team.world:
        raise SolverError(
            f"{where}: it was written by {len(captured)} processes, this run has {team.world}; start as many, or leave "
            "--exact-resume out"
        )
    mine = captured[team.rank]
    facts = mine.facts
    layers = dict(_layers(solver))
    if facts["iter"] != solver.iter or set(facts["layers"]) != set(layers):
        raise SolverError(
            f"{where}: it is of iteration {facts['iter']} of a solver with the layers {_listed(facts['layers'])}; "
            f"here it is iteration {solver.iter} and {_listed(layers)}"
        )
    for title, layer in layers.items():
        if layer.role == "data":
            layer.restore(facts["layers"][title])
        else:
            _remind(title, layer, facts["layers"][title], mine.arrays)
    kind, position, has_gauss, gauss = facts["numpy"]
    np.random.set_state((kind, mine.arrays["numpy"], position, has_gauss, gauss))  # noqa: NPY002
    version, words, gauss = facts["python"]
    random.setstate((version, tuple(words), gauss))
    torch.set_rng_state(torch.from_numpy(mine.arrays["torch"]))
    if solver.net.device.type == "cuda" and "cuda" in mine.arrays:
        torch.cuda.set_rng_state(torch.from_numpy(mine.arrays["cuda"]), solver.net.device)
    loss = SmoothedLoss.of(facts["loss"])
    return loss if loss.size == solver.param.average_loss else SmoothedLoss(solver.param.average_loss)


def write(state: str | os.PathLike[str], captured: Sequence[Captured]) -> None:
    """Write the file, whole or not at all."""
    name = file_name(state)
    log.info("sgd_solver.cpp:284", f"Snapshotting data positions and random streams to {name}")
    arrays: dict[str, np.ndarray] = {}
    for rank, one in enumerate(captured):
        arrays[f"{rank}.facts"] = np.frombuffer(json.dumps(one.facts).encode(), np.uint8)
        arrays.update({f"{rank}.{key}": value for key, value in one.arrays.items()})
    with atomic_write(name) as f:
        np.savez(f, **arrays)  # type: ignore[arg-type]


def read(state: str | os.PathLike[str]) -> list[Captured]:
    """The processes' states of the file beside `state`, by rank."""
    name = file_name(state)
    if not os.path.isfile(name):
        raise SolverError(
            f"there is no file '{name}': the snapshot was written without --exact-resume. Leave the flag out to resume "
            "as Caffe does, with the data from the first record on"
        )
    try:
        with np.load(name, allow_pickle=False) as file:
            stored = {key: file[key] for key in file.files}
        captured: list[Captured] = []
        while f"{len(captured)}.facts" in stored:
            start = f"{len(captured)}."
            own = {key.removeprefix(start): value for key, value in stored.items() if key.startswith(start)}
            captured.append(Captured(json.loads(own.pop("facts").tobytes()), own))
        if not captured or captured[0].facts["version"] != VERSION:
            raise ValueError("it is of another version")
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise SolverError(f"{name}: not a file that --exact-resume can read: {e}") from e
    return captured


def _layers(solver: Solver) -> Iterator[tuple[str, Any]]:
    """The layers that have a state besides their blobs, under titles that differ."""
    for number, net in enumerate([solver.net, *solver.test_nets]):
        for node in net.graph.nodes:
            layer: Layer = node.layer
            if layer.memory or (layer.role == "data" and callable(getattr(layer, "state", None))):
                yield f"{number}/{node.index}/{node.name}", layer


def _remembered(title: str, layer: Layer, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The layer's memory as JSON; lists of tensors as their length and arrays under the attribute's name and number."""
    out: dict[str, Any] = {}
    for name in layer.memory:
        value = getattr(layer, name)
        out[name] = {"tensors": len(value)} if isinstance(value, list) else value
        for i, tensor in enumerate(value if isinstance(value, list) else ()):
            arrays[f"{title}.{name}.{i}"] = tensor.cpu().numpy()
    return out


def _remind(title: str, layer: Layer, memory: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    for name, value in memory.items():
        if isinstance(value, dict):
            value = [torch.from_numpy(arrays[f"{title}.{name}.{i}"]) for i in range(value["tensors"])]
        setattr(layer, name, value)


def _listed(titles: Any) -> str:
    return ", ".join(sorted(titles)) or "none"
