"""`.npz`: a NumPy archive of Caffe's blobs, by `<layer>.<blob name>`, in Caffe's shapes, and the text `prototxt`.

Any archive of arrays by these names is read; one without the text needs `model=`. Nothing in a file is ever run. What
its members claim to be is held against their sizes and against the net before anything is unpacked.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from caffe_port.errors import WeightsError, WireError
from converters.model import Model, from_named, need_net, parse_net

EXTENSIONS = (".npz",)
PROTOTXT = "prototxt"
"""The key of the net as text; no blob has it, their names have a dot."""
MOST_TEXT = 2**28
"""Bytes that an embedded prototxt may have, in NumPy's four a character: 64 Mi characters."""

Claim = tuple[tuple[int, ...], np.dtype]


def read(path: Path, net: Any | None) -> Model:
    if not zipfile.is_zipfile(path):
        raise WireError(f"{path}: not an .npz file, or not the whole of one: it is no complete zip archive")
    with np.load(path, allow_pickle=False) as file:
        claims = _claims(file.zip, path)
        text = claims.pop(PROTOTXT, None)
        if net is None and text is not None:
            net = parse_net(_text(file, text, path), path)
        net = need_net(net, path)
        from_named({key: _stand_in(key, claim, path) for key, claim in claims.items()}, net, str(path))
        return from_named({key: _native(file[key]) for key in claims}, net, str(path))


def write(model: Model, path: Path) -> None:
    arrays: dict[str, Any] = {**model.named_blobs(), PROTOTXT: np.array(model.prototxt)}
    with path.open("wb") as file:  # given the path, NumPy would add ".npz" to "X.NPZ"
        np.savez(file, **arrays)


def _claims(archive: zipfile.ZipFile, path: Path) -> dict[str, Claim]:
    """What every member says of itself. Raises WireError for what is no array of numbers, or not of its size."""
    claims: dict[str, Claim] = {}
    for info in archive.infolist():
        key = info.filename.removesuffix(".npy")
        if key == info.filename or key in claims:
            raise WireError(f"{path}: '{info.filename}' is {'there twice' if key in claims else 'no array (.npy)'}")
        with archive.open(info) as member:
            old = npy.read_magic(member) == (1, 0)
            shape, _, dtype = (npy.read_array_header_1_0 if old else npy.read_array_header_2_0)(member)
            stored = info.file_size - member.tell()
        if dtype.hasobject:
            raise WireError(f"{path}: '{key}' holds Python objects, not numbers (code in a file is never run)")
        if math.prod(shape) * dtype.itemsize != stored:
            raise WireError(f"{path}: '{key}' claims to be {dtype}{list(shape)} but stores {stored} bytes")
        claims[key] = shape, dtype
    return claims


def _stand_in(key: str, claim: Claim, path: Path) -> np.ndarray:
    """An array of the claimed shape that takes no memory."""
    shape, dtype = claim
    if dtype.newbyteorder("=") not in (np.float16, np.float32, np.float64):
        raise WeightsError(f"{path}: '{key}' is of type {dtype}, which is no blob of Caffe's; convert it to float32")
    return np.broadcast_to(np.float32(0), shape)


def _native(array: np.ndarray) -> np.ndarray:
    """The same values in this machine's byte order and in C's order of axes."""
    return np.require(array, array.dtype.newbyteorder("="), "C")


def _text(file: Any, claim: Claim, path: Path) -> str:
    shape, dtype = claim
    if shape != () or dtype.kind not in "US" or dtype.itemsize > MOST_TEXT:
        raise WireError(f"{path}: its '{PROTOTXT}' is no text")
    text = file[PROTOTXT].item()
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
