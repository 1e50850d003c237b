"""A state dict of torch's own modules as Caffe's layers with blobs, and back: what weight maps name on torch's side.

The layer of a module has the module's name, and blobs as Caffe's layer of that kind has them: a convolution's or
linear layer's `weight` and `bias`. A BatchNorm is two layers, as in Caffe: `bn1` has mean, variance and factor (1), and
`bn1:scale`, if the module has one, its `weight` and `bias`. Back, the factor is divided out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from caffe_port.errors import WeightsError
from caffe_port.proto.binary import LayerBlobs
from converters.model import caffe_array

SCALE = ":scale"
STATISTICS = ("running_mean", "running_var")
COUNT = "num_batches_tracked"
PARALLEL = "module."
"""What torch's DataParallel puts before every name."""


def layers_of(state: Mapping[str, np.ndarray]) -> list[LayerBlobs]:
    """The modules of a state dict, in its order. Raises WeightsError for tensors that are none of a known module."""
    if state and all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): array for name, array in state.items()}
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, array in state.items():
        module, _, tensor = name.rpartition(".")
        if tensor != COUNT:
            modules.setdefault(module, {})[tensor] = caffe_array(array, f"'{name}'")
    layers, strange = [], []
    for module, held in modules.items():
        statistics = [held.pop(name) for name in STATISTICS if name in held]
        own = [held.pop(name) for name in ("weight", "bias") if name in held]
        if held or len(statistics) == 1 or not (own or statistics):
            strange += [f"{module}.{name}" for name in held or STATISTICS]
        elif statistics:
            layers.append(_layer(module, "BatchNorm", [*statistics, np.ones(1, np.float32)]))
            if own:
                layers.append(_layer(module + SCALE, "Scale", own))
        else:
            layers.append(_layer(module, "", own))
    if strange:
        raise WeightsError(f"tensors of no module that is known here: {', '.join(strange[:8])}")
    return layers


def state_of(layers: Sequence[LayerBlobs]) -> dict[str, np.ndarray]:
    """The state dict of layers that are called as torch calls the modules."""
    norms = {layer.name for layer in layers if layer.name + SCALE in {other.name for other in layers}}
    state: dict[str, np.ndarray] = {}
    for layer in layers:
        name = layer.name.removesuffix(SCALE)
        if layer.type == "BatchNorm" or layer.name in norms:
            mean, variance, factor = layer.blobs
            count = float(factor.reshape(-1)[0])
            share = np.float32(1 / count if count else 0)  # as Caffe: a factor of 0 means statistics of 0
            state |= {f"{name}.{key}": blob * share for key, blob in zip(STATISTICS, (mean, variance), strict=True)}
            state[f"{name}.{COUNT}"] = np.array(0, np.int64)
        else:
            if len(layer.blobs) > 2:
                raise WeightsError(f"layer '{layer.name}' has {len(layer.blobs)} blobs; a module has weight and bias")
            state |= {f"{name}.{key}": blob for key, blob in zip(("weight", "bias"), layer.blobs, strict=False)}
    return state


def _layer(name: str, type: str, blobs: Sequence[np.ndarray]) -> LayerBlobs:
    return LayerBlobs(name, type, list(blobs), [None] * len(blobs))
