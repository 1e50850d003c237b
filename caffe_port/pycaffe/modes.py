"""pycaffe's switches: phases, the device, the seed, the list of layer types."""

from __future__ import annotations

import torch

from caffe_port import log as logs
from caffe_port.errors import CaffeError
from caffe_port.layers import REGISTRY
from caffe_port.layers.base import TEST, TRAIN

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "device",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
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


def has_nccl() -> bool:
    """False: several processes train by `torchrun -m caffe_port train`, not through pycaffe's NCCL."""
    return False


class NCCL:
    """As in a Caffe that was built without NCCL: there, and of no use. CaffeError where it is made."""

    def __init__(self, *_: object) -> None:
        raise CaffeError(_SEVERAL)

    @staticmethod
    def new_uid() -> bytes:
        raise CaffeError(_SEVERAL)


_SEVERAL = (
    "pycaffe is one process here; train in several by torchrun --nproc_per_node=N -m caffe_port train --solver=..."
)


def solver_count() -> int:
    return 1


def solver_rank() -> int:
    return 0


def set_solver_count(count: int) -> None:
    """CaffeError: not 1."""
    if count != 1:
        raise CaffeError(_SEVERAL)


def set_solver_rank(rank: int) -> None:
    """CaffeError: not 0."""
    if rank != 0:
        raise CaffeError(_SEVERAL)


def set_multiprocess(several: bool) -> None:
    """Whether the solvers are processes rather than threads: one solver is both."""


def layer_type_list() -> list[str]:
    """Every type that a net may use, in alphabetical order."""
    return sorted(REGISTRY)


def init_log(level: int | None = None, stderr: bool = True) -> None:
    """From now on print log lines of this level and above: 0 INFO, 1 WARNING, 2 ERROR. They go to standard error from
    the start, so `stderr` changes nothing."""
    if level is not None:
        logs.set_level(level)


def log(message: str) -> None:
    logs.info("_caffe.cpp:1", message)
