"""Where a command runs: the CPU, or the GPU that --gpu or the solver asks for."""

from __future__ import annotations

from typing import Any

import torch

from caffe_port import log
from caffe_port.errors import CaffeError
from caffe_port.net import without_tf32


def gpu_ids(flag: str | None, solver: Any = None) -> list[int]:
    """The GPUs to use; none for the CPU.

    `--gpu` comes first; without it a solver's own `solver_mode: GPU` (given, not the schema's default) and device_id.
    What asks for a GPU where none can be used gets a warning and the CPU, so that one command serves both machines; a
    GPU number that does not exist beside others is an error.
    """
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if flag:
        wanted = list(range(visible)) if flag == "all" else _numbers(flag)
        asker = f"--gpu={flag}"
    elif solver is not None and solver.HasField("solver_mode") and solver.solver_mode == solver.GPU:
        wanted, asker = [solver.device_id], "solver_mode: GPU"
    else:
        return []
    if not visible:
        log.warn("common.cpp:152", f"{asker}, but no CUDA device can be used here; running on the CPU")
        return []
    for number in wanted:
        if not 0 <= number < visible:
            raise CaffeError(f"{asker}: there is no GPU {number}; {visible} can be used, numbered from 0")
    return wanted


def of_process(ids: list[int], flag: str | None, place: int, processes: int) -> list[int]:
    """The one GPU of process number `place` of so many on this machine, as a list; none for the CPU.

    With --gpu the processes take its GPUs in order; where only the solver asks for a GPU, all that can be seen.
    """
    if processes == 1 or not ids:
        return ids
    if not flag:
        ids = list(range(torch.cuda.device_count()))
    if len(ids) < processes:
        asked = f"--gpu={flag} has" if flag else "there are"
        raise CaffeError(f"{processes} processes on this machine, but {asked} {len(ids)} GPUs; give each its own")
    return [ids[place]]


def first_of(ids: list[int], flag: str | None) -> torch.device:
    """The one device that a single process works on; also turns TF32 off, so that numbers are single precision."""
    if not ids:
        return torch.device("cpu")
    if len(ids) > 1 and flag != "all":
        raise CaffeError(
            f"--gpu={flag}: one process works on one GPU; give a single number, or start a process a GPU: "
            f"torchrun --nproc_per_node={len(ids)} -m caffe_port ... --gpu={flag}"
        )
    if len(ids) > 1:
        log.warn("caffe.cpp:204", f"{len(ids)} GPUs are visible; this process uses GPU {ids[0]} only")
    without_tf32()
    torch.cuda.set_device(ids[0])
    return torch.device("cuda", ids[0])


def announce(flag: str | None, use_cpu: str, use_gpu: str, place: int = 0, processes: int = 1) -> torch.device:
    """The device of `test` and `time`, with the line that each of them logs at its own place in Caffe's source."""
    ids = of_process(gpu_ids(flag), flag, place, processes)
    if len(ids) > 1:
        log.warn(use_gpu, f"--gpu={flag}: GPU {ids[0]} alone is used, as in Caffe")
    device = first_of(ids[:1], flag)
    if ids:
        log.info(use_gpu, f"Use GPU with device ID {ids[0]}")
    else:
        log.info(use_cpu, "Use CPU.")
    return device


def _numbers(flag: str) -> list[int]:
    try:
        return [int(part) for part in flag.split(",")]
    except ValueError:
        raise CaffeError(f"--gpu={flag}: give GPU numbers separated by commas, or 'all'") from None
