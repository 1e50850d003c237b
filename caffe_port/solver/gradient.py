"""What is done to the diffs between backward and the update rule: clip, normalise, regularise. All in place.

Source: `SGDSolver::ClipGradients`, `Normalize`, `Regularize`, src/caffe/solvers/sgd_solver.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from caffe_port import log
from caffe_port.errors import SolverError

REGULARIZATIONS = ("L2", "L1")


def check_kind(kind: str) -> None:
    """Refuse a `regularization_type` that is not Caffe's."""
    if kind not in REGULARIZATIONS:
        raise SolverError(f"unknown regularization_type '{kind}'; known are {', '.join(REGULARIZATIONS)}")


def clip(diffs: list[Tensor], limit: float) -> None:
    """Scale all diffs down so that the L2 norm over all of them is at most `limit`; a negative limit is none.

    Comes before `normalise`, so with iter_size the norm is that of the sum over its passes, as in Caffe.
    """
    if limit < 0 or not diffs:
        return
    norm = np.float32(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(diffs))).item())
    if norm > np.float32(limit):
        scale = np.float32(limit) / norm
        log.info(
            "sgd_solver.cpp:99",
            f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {limit:g}) by scale factor {scale:g}",
        )
        torch._foreach_mul_(diffs, float(scale))


def normalise(diffs: list[Tensor], iter_size: int) -> None:
    """The mean over the accumulated passes."""
    if iter_size != 1 and diffs:
        torch._foreach_mul_(diffs, float(np.float32(1) / np.float32(iter_size)))


def regularise(diffs: list[Tensor], data: list[Tensor], decays: Sequence[float], kind: str) -> None:
    """Add each parameter's decay times its data (L2) or the data's sign (L1) to its diff."""
    chosen = [i for i, decay in enumerate(decays) if decay]
    if not chosen:
        return
    check_kind(kind)
    values = [data[i] for i in chosen]
    if kind == "L1":
        values = list(torch._foreach_sign(values))
    scales = [decays[i] for i in chosen]
    grown = [diffs[i] for i in chosen]
    if len(set(scales)) == 1:
        torch._foreach_add_(grown, values, alpha=scales[0])
    else:
        torch._foreach_add_(grown, torch._foreach_mul(values, scales))
