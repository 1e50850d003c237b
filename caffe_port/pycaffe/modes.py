"""pycaffe's switches: phases, the device, the seed, the list of layer types."""

from __future__ import annotations

import torch

from caffe_port import log as logs
from caffe_port.layers import REGISTRY
from caffe_port.layers.base import TEST, TRAIN

__all__ = [
    "TEST",
    "TRAIN",
    "device",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]

_gpu = False
_device = 0


def set_mode_cpu() -> None:
    global _gpu
    _gpu = False


def set_mode_gpu() -> None:
    """Nets made from now on live on the GPU; without one they stay on the CPU, and a warning says so."""
    global _gpu
    _gpu = torch.cuda.is_available()
    if not _gpu:
        logs.warn("common.cpp:152", "set_mode_gpu: no CUDA device is visible here; staying on the CPU")


def set_device(index: int) -> None:
    global _device
    _device = int(index)


def device() -> torch.device:
    return torch.device("cuda", _device) if _gpu else torch.device("cpu")


def set_random_seed(seed: int) -> None:
    torch.manual_seed(seed)


def layer_type_list() -> list[str]:
    """Every type that a net may use, in alphabetical order."""
    return sorted(REGISTRY)


def init_log(prefix_or_level: object = None, *_: object) -> None:
    """Accepted for compatibility: log lines go to standard error from the start."""


def log(message: str) -> None:
    logs.info("_caffe.cpp:1", message)
