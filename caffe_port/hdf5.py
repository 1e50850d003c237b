"""Caffe's HDF5 files: `.caffemodel.h5` (`data/<layer>/<index>`, diffs under `diff/`) and `.solverstate.h5`.

A shared blob is stored under its owner only. A layer name with `/` makes nested groups, and is read back from them
(Caffe aborts on saving one). Needs h5py (`pip install caffe-port[hdf5]`). Source: `Net::ToHDF5` and
`Net::CopyTrainedLayersFromHDF5` in src/caffe/net.cpp, src/caffe/solvers/sgd_solver.cpp of Caffe 1.0.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.atomic import atomic_write
from caffe_port.errors import CaffeError, WireError
from caffe_port.proto.binary import LayerBlobs

UNPACKED = 32
"""How many times its own size a file may hold, and 64 MiB. Weights hardly pack; what Caffe writes is not packed."""
Path_ = str | os.PathLike[str]


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise CaffeError("HDF5 files need the package h5py: pip install 'caffe-port[hdf5]'") from None
    return h5py


@contextlib.contextmanager
def _open(path: Path_) -> Iterator[Any]:
    h5py = _h5py()
    if not Path(path).is_file():
        raise WireError(f"{path}: there is no such file")
    try:
        file = h5py.File(path, "r")
    except OSError as e:
        raise WireError(f"{path}: not a readable HDF5 file ({e})") from None
    with file:
        yield file


@contextlib.contextmanager
def _create(path: Path_) -> Iterator[Any]:
    """An HDF5 file built in memory and written whole: h5py itself leaves a half-written file on a full disk."""
    h5py = _h5py()
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        yield file
    with atomic_write(path) as out:
        out.write(memory.getbuffer())


def write_arrays(path: Path_, arrays: Mapping[str, Any]) -> None:
    """Arrays, or lists of numbers or strings, as data sets of these names."""
    with _create(path) as file:
        for name, values in arrays.items():
            file[name] = values


def read_layers(path: Path_) -> list[LayerBlobs]:
    """Blobs by layer. An index that the file lacks (a shared blob, stored under its owner) is None."""
    h5py = _h5py()
    with _open(path) as file:
        data = file.get("data")
        if not isinstance(data, h5py.Group):
            raise WireError(f"{path}: has no group 'data', so it holds no Caffe weights")
        found: dict[str, dict[int, np.ndarray]] = {}
        left = UNPACKED * Path(path).stat().st_size + 2**26

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                layer, _, index = name.rpartition("/")
                if not index.isdigit() or int(index) > 1000 or item.dtype.kind not in "fiu":
                    raise WireError(
                        f"{path}: dataset 'data/{name}' is not a blob (wanted data/<layer>/<index> of numbers)"
                    )
                nonlocal left
                left -= item.nbytes
                # Deflate packs at most about 1032 to 1: what claims more holds no data, only a gigantic shape.
                if left < 0 or item.nbytes > 1100 * item.id.get_storage_size() or item.external or item.is_virtual:
                    raise WireError(
                        f"{path}: dataset 'data/{name}' claims {item.shape} but stores no such data in the file"
                    )
                found.setdefault(layer, {})[int(index)] = item[()]

        data.visititems(visit)
    return [
        # None where a blob is not in the file; copy_into asks for it.
        LayerBlobs(name, "", [blobs.get(i) for i in range(max(blobs) + 1)], [None] * (max(blobs) + 1))  # type: ignore[misc]
        for name, blobs in found.items()
    ]


def write_layers(path: Path_, layers: Sequence[LayerBlobs]) -> None:
    """Every layer a group, also those without blobs. A blob that is None is left out (it is stored under its owner)."""
    with _create(path) as file:
        data = file.create_group("data")
        diff = file.create_group("diff") if any(d is not None for layer in layers for d in layer.diffs) else None
        for layer in layers:
            group = data.require_group(layer.name)
            for i, blob in enumerate(layer.blobs):
                if blob is not None:
                    group.create_dataset(str(i), data=np.asarray(blob, np.float32))
            if diff is not None:
                group = diff.require_group(layer.name)
                for i, values in enumerate(layer.diffs):
                    if values is not None:
                        group.create_dataset(str(i), data=np.asarray(values, np.float32))


def read_solverstate(path: Path_) -> tuple[int, int, str, list[np.ndarray]]:
    """iter, current_step, learned_net, history."""
    with _open(path) as file:
        try:
            history = file["history"]
            blobs = [np.asarray(history[str(i)][()], np.float32) for i in range(len(history))]
            learned = file["learned_net"][()] if "learned_net" in file else b""
            name = learned.decode() if isinstance(learned, bytes) else str(learned)
            return int(np.ravel(file["iter"][()])[0]), int(np.ravel(file["current_step"][()])[0]), name, blobs
        except (KeyError, ValueError, AttributeError) as e:
            raise WireError(f"{path}: not a Caffe solver state in HDF5: {e}") from None


def write_solverstate(
    path: Path_, iter: int, learned_net: str, history: Sequence[np.ndarray], current_step: int
) -> None:
    with _create(path) as file:
        file["iter"] = np.array([iter], np.int32)
        name = learned_net.encode()
        file["learned_net"] = np.array(name, dtype=f"S{len(name) + 1}")  # Caffe reads it as a C string: with its NUL
        file["current_step"] = np.array([current_step], np.int32)
        group = file.create_group("history")
        for i, blob in enumerate(history):
            group.create_dataset(str(i), data=np.asarray(blob, np.float32))
