"""What Caffe finds out about a solver definition on the way, found out before anything is built."""

from __future__ import annotations

import os
from typing import Any

from caffe_port.errors import SolverError
from caffe_port.proto.forks import fork_fields
from caffe_port.solver import gradient, lr_policy
from caffe_port.solver.detections import AP_VERSIONS

EVALUATIONS = ("classification", "detection")
KNOWN = ("eval_type", "ap_version", "show_per_class_result", "stagelr", "stageiter")
"""Options that forks' solvers add: SSD's tests of a detector, and the rates of the policy "multifixed"."""


def check(param: Any) -> None:
    """SolverError for a definition that cannot be trained by, here and now."""
    check_settings(param)
    if param.snapshot:
        _check_snapshot_prefix(param)


def check_settings(param: Any) -> None:
    """SolverError for a definition that cannot be trained by anywhere."""
    foreign = [name for name in fork_fields(param) if "." not in name and name not in KNOWN]
    if foreign:
        raise SolverError(f"{', '.join(foreign)}: an option of a fork's solver that is not known here; remove it")
    if param.average_loss < 1:
        raise SolverError(f"average_loss must be at least 1, but is {param.average_loss}")
    if param.iter_size < 1:
        raise SolverError(
            f"iter_size must be at least 1, but is {param.iter_size}: no data would be seen (with 0 Caffe divides by "
            "it and makes every weight NaN)"
        )
    for name, known in (("eval_type", EVALUATIONS), ("ap_version", AP_VERSIONS)):
        if getattr(param, name) not in known:
            raise SolverError(f"{name}: unknown {name} '{getattr(param, name)}'; known are {', '.join(known)}")
    lr_policy.policy(param)
    if param.weight_decay:
        gradient.check_kind(param.regularization_type)


def snapshot_name(param: Any, iteration: int, extension: str) -> str:
    return f"{param.snapshot_prefix}_iter_{iteration}{extension}"


def _check_snapshot_prefix(param: Any) -> None:
    if not param.HasField("snapshot_prefix"):
        raise SolverError("snapshot is specified but snapshot_prefix is not")
    probe = snapshot_name(param, 0, f".tempfile{os.getpid()}")
    try:
        with open(probe, "w"):
            pass
        os.remove(probe)
    except OSError as error:
        raise SolverError(
            f"cannot write to snapshot prefix '{param.snapshot_prefix}' ({error.strerror}); "
            "make sure that the directory exists and is writable"
        ) from error
