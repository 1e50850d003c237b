"""Where training stands, in Caffe's two layouts: `.solverstate` (a SolverState message) and `.solverstate.h5`.

Source: `SGDSolver::SnapshotSolverStateToBinaryProto`, `...ToHDF5` and `Restore...`, src/caffe/solvers/sgd_solver.cpp.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffe_port import hdf5
from caffe_port.errors import SolverError
from caffe_port.proto.binary import read_solverstate, write_solverstate


@dataclass(frozen=True)
class State:
    """`learned_net` is the weights file as it was written; "" where there is none."""

    iter: int
    current_step: int
    learned_net: str
    history: Sequence[np.ndarray]


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Caffe's rule for which of the two layouts a name means."""
    return str(path).endswith(".h5")


def write(path: str | os.PathLike[str], state: State) -> None:
    """Write the state, whole or not at all; the name's ending says in which layout."""
    if is_hdf5(path):
        hdf5.write_solverstate(path, state.iter, state.learned_net, state.history, state.current_step)
    else:
        write_solverstate(path, state.iter, state.learned_net, state.history, state.current_step)


def read(path: str | os.PathLike[str]) -> State:
    if not os.path.isfile(path):
        raise SolverError(f"snapshot: there is no file '{path}'")
    if is_hdf5(path):
        return State(*hdf5.read_solverstate(path))
    message, history = read_solverstate(path)
    return State(message.iter, message.current_step, message.learned_net, history)


def find_weights(state: State, path: str | os.PathLike[str]) -> str:
    """The weights that belong to the state: as written, else beside the state's own file.

    Caffe only looks at the path as it was written, which breaks when the folder moves.
    """
    beside = Path(path).parent / Path(state.learned_net).name
    for candidate in (Path(state.learned_net), beside):
        if candidate.is_file():
            return str(candidate)
    raise SolverError(
        f"{path} continues from the weights '{state.learned_net}', which is neither there nor at '{beside}'"
    )


def check(state: State, shapes: Sequence[tuple[int, ...]], path: str | os.PathLike[str]) -> None:
    """Refuse a state whose history is not the one that this net and this solver keep."""
    theirs = [tuple(h.shape) for h in state.history]
    wants = [tuple(s) for s in shapes]
    if len(theirs) == len(wants) and all(_same(t, w) for t, w in zip(theirs, wants, strict=True)):
        return
    different = next((i for i, (t, w) in enumerate(zip(theirs, wants, strict=False)) if not _same(t, w)), None)
    where = f"; the first to differ is number {different}" if different is not None else ""
    raise SolverError(
        f"{path}: the state has {len(theirs)} history blobs of shapes {_some(theirs)}, the net and its solver want "
        f"{len(wants)} of shapes {_some(wants)}{where}. It belongs to another net, or to another solver type"
    )


def _same(theirs: tuple[int, ...], mine: tuple[int, ...]) -> bool:
    """Equal, or equal after the leading ones of a file with num/channels/height/width."""
    return theirs == mine or (len(theirs) == 4 and theirs == (1,) * (4 - len(mine)) + mine)


def _some(shapes: Sequence[tuple[int, ...]]) -> str:
    return f"[{', '.join(map(str, shapes[:6]))}{', ...' if len(shapes) > 6 else ''}]"
