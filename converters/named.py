"""Weights under another network's names, by a weight map (caffe_port/weight_map.py): into a net, and out of one."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from caffe_port import weight_map, weights
from caffe_port.errors import ConvertError, WeightsError
from caffe_port.net import Net
from caffe_port.proto import load
from caffe_port.proto.binary import LayerBlobs
from caffe_port.weight_map import Mapped, WeightMap
from converters import torch_names
from converters.deploy import deploy
from converters.model import Model, blob_slots, by_layer


def read(path: Path, module: ModuleType, rules: WeightMap, net: Any | None, adapt_input: bool) -> Model:
    """The weights of `path` (a file of the format `module`) in `net`, or in the net that the map names.

    A layer of the net that gets nothing is an error, unless the map leaves it out; its filler draws it then.
    """
    if net is None:
        if rules.prototxt is None:
            raise ConvertError(f"{path}: the map names no net for {rules.target}; give one with model=deploy.prototxt")
        net = deploy(load.read_net(rules.prototxt))[0]
    net, notes = weight_map.fit(rules, net)
    wanted = {layer: len(slots) for layer, slots in by_layer(blob_slots(net)).items()}
    mapped = weight_map.apply(rules, _layers(path, module, rules), wanted, adapt_input)
    lacking = [n for n in mapped.unfilled if not any(fnmatchcase(n, p) for p in rules.target_left_out)]
    if lacking or not mapped.layers:
        raise WeightsError(f"{path}: nothing for {', '.join(lacking) or 'any layer'} of {rules.target}: {mapped}")
    model = Model(net, [*mapped.layers, *_drawn(net, mapped.unfilled)], notes + said(rules, mapped, adapt_input))
    model.named_blobs()  # every shape that does not fit, at once
    return model


def write(model: Model, path: Path, module: ModuleType, rules: WeightMap, adapt_input: bool) -> dict[str, np.ndarray]:
    """The model's weights as a state dict under the target's names, and what was written."""
    if not hasattr(module, "write_state"):
        raise ConvertError(f"{path.name}: weights under names of {rules.target} go into a .pt, .pth or .safetensors")
    named = model.named_blobs()
    layers = [
        LayerBlobs(layer, slots[0].type, [named[slot.key] for slot in slots], [None] * len(slots))
        for layer, slots in by_layer(blob_slots(model.net)).items()
    ]
    mapped = weight_map.apply(rules, layers, None, adapt_input)
    if mapped.unused:
        raise WeightsError(f"the map to {rules.target} has no name for {', '.join(mapped.unused)}")
    state = torch_names.state_of(mapped.layers)
    module.write_state(state, path)
    model.notes += [*rules.differences, *said(rules, mapped, adapt_input)]
    return state


def check(path: Path, module: ModuleType, state: dict[str, np.ndarray]) -> str:
    again = module.read_state(path)
    different = [key for key in state if key not in again or state[key].tobytes() != again[key].tobytes()]
    if different or len(again) != len(state):
        raise ConvertError(f"{path.name}: reads back different in {', '.join(different)}; nothing was written")
    return f"reads back equal, bit for bit ({len(state)} tensors)"


def said(rules: WeightMap, mapped: Mapped, adapt_input: bool) -> list[str]:
    return [f"by the map from {rules.source}: {mapped}", *weight_map.pictures(rules, adapt_input)]


def _layers(path: Path, module: ModuleType, rules: WeightMap) -> list[LayerBlobs]:
    if rules.source_names == "torch":
        if not hasattr(module, "read_state"):
            raise ConvertError(f"{path}: the map takes a state dict of {rules.source}: .pt, .pth or .safetensors")
        return torch_names.layers_of(module.read_state(path))
    if path.suffix in (".caffemodel", ".h5", ".hdf5"):
        return weights.read_layers(path)
    return module.read(path, None).layer_blobs()


def _drawn(net: Any, names: list[str]) -> list[LayerBlobs]:
    return [layer for layer in Net(net).layer_blobs() if layer.name in names] if names else []
