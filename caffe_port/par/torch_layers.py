"""A PyTorch state dict of convolutions and batch normalisations as Caffe's layers, for a weight map to rename.

    layer2.0.conv1.weight                                        layer2.0.conv1: Convolution, its weight (and bias)
    layer2.0.bn1.{running_mean, running_var, weight, bias}       layer2.0.bn1: BatchNorm, mean, variance and factor 1;
                                                                 layer2.0.bn1.scale: Scale, weight and bias
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_port.errors import WeightsError
from caffe_port.proto.binary import LayerBlobs
from caffe_port.weights import read_layers

SUFFIXES = (".pth", ".pt", ".safetensors")


def read_any(path: str | Path) -> list[LayerBlobs]:
    """The layers of a .caffemodel, an .h5 or a PyTorch state dict. Nothing in a file is ever run. Raises WireError or
    WeightsError for a file that is none of them."""
    if Path(path).suffix.lower() not in SUFFIXES:
        return read_layers(str(path))
    from converters.torch_weights import read_tensors

    return layers_of(read_tensors(Path(path)), str(path))


def layers_of(tensors: dict[str, np.ndarray], source: str) -> list[LayerBlobs]:
    """In the order of the state dict; WeightsError names a module that is neither of the two kinds."""
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        module, _, kind = name.rpartition(".")
        modules.setdefault(module, {})[kind] = value
    found = []
    for module, held in modules.items():
        kinds = set(held) - {"num_batches_tracked"}
        if kinds == {"running_mean", "running_var", "weight", "bias"}:
            # Caffe divides both statistics by blob 2; PyTorch's are whole.
            statistics = [held["running_mean"], held["running_var"], np.ones(1, np.float32)]
            found.append(LayerBlobs(module, "BatchNorm", statistics))
            found.append(LayerBlobs(f"{module}.scale", "Scale", [held["weight"], held["bias"]]))
        elif "weight" in kinds and kinds <= {"weight", "bias"} and held["weight"].ndim in (2, 4):
            kind = "Convolution" if held["weight"].ndim == 4 else "InnerProduct"
            found.append(LayerBlobs(module, kind, [held[k] for k in ("weight", "bias") if k in held]))
        else:
            raise WeightsError(
                f"{source}: '{module}' holds {', '.join(sorted(held))}; a convolution, a fully connected layer or a "
                "batch normalisation is expected"
            )
    return found
