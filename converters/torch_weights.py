"""`.pt`, `.pth`, `.safetensors`: a PyTorch state dict of Caffe's blobs, by `<layer>.<blob name>`, in Caffe's shapes.

Both carry the prototxt and so read back without one: a `.pt` is `{"state_dict": ..., "prototxt": ...}`, a
`.safetensors` has it in its metadata. A plain state dict is read too, with `model=`. Nothing in a file is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.errors import WeightsError, WireError
from converters.model import Model, as_tensor, from_named, need_net, parse_net
from converters.optional import need

EXTENSIONS = (".pt", ".pth", ".safetensors")


def read(path: Path, net: Any | None) -> Model:
    tensors, prototxt = _read_file(path)
    if net is None and prototxt is not None:
        net = parse_net(prototxt, path)
    return from_named({k: as_array(t, f"{path}: '{k}'") for k, t in tensors.items()}, need_net(net, path), str(path))


def write(model: Model, path: Path) -> None:
    named = model.named_blobs()
    if path.suffix == ".safetensors":
        arrays = {key: np.require(array, requirements="C") for key, array in named.items()}
        need("safetensors.numpy", "safetensors").save_file(arrays, path, metadata={"prototxt": model.prototxt})
    else:
        tensors = {key: as_tensor(array) for key, array in named.items()}
        torch.save({"state_dict": tensors, "prototxt": model.prototxt}, path)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of any state dict under their own names."""
    return {key: as_array(tensor, f"{path}: '{key}'") for key, tensor in _read_file(path)[0].items()}


def _read_file(path: Path) -> tuple[Mapping[str, Tensor], str | None]:
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def _read_safetensors(path: Path) -> tuple[Mapping[str, Tensor], str | None]:
    with need("safetensors", "safetensors").safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, (file.metadata() or {}).get("prototxt")


def _read_pickle(path: Path) -> tuple[Mapping[str, Tensor], str | None]:
    held = _load(path)
    prototxt = None
    if isinstance(held, Mapping) and isinstance(held.get("state_dict"), Mapping):
        prototxt, held = held.get("prototxt"), held["state_dict"]
    if not isinstance(held, Mapping):
        raise WireError(f"{path}: holds a {type(held).__name__}, not a state dict")
    wrong = [
        f"{key!r}: {type(value).__name__}"
        for key, value in held.items()
        if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if wrong or not isinstance(prototxt, str | None):
        raise WireError(
            f"{path}: not a state dict of tensors by name: {', '.join(wrong[:5]) or 'its prototxt is no text'}"
        )
    return held, prototxt


def _load(path: Path) -> Any:
    with path.open("rb") as f:
        zipped = f.read(4) == b"PK\x03\x04"
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as e:  # torch raises what its unpickler, its zip reader or its allocator says
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise WireError(
            f"{path}: not a file of plain tensors, or damaged (code in a file is never run): {reason}"
        ) from e


def as_array(tensor: Tensor, what: str) -> np.ndarray:
    """The tensor's values, without a copy where it lies in order. bfloat16 becomes float32, exactly."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise WeightsError(
            f"{what} is a {tensor.layout} tensor on {tensor.device}; only plain dense tensors are weights"
        )
    # Strides of 0 let a file of a few bytes describe a tensor of terabytes; a real weight fills its storage.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{what} claims {tuple(tensor.shape)} but stores {tensor.untyped_storage().nbytes()} bytes")
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.detach().contiguous().numpy()
