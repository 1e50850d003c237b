"""The fillers: how a blob starts. Formulas and option names as in include/caffe/filler.hpp of BVLC Caffe 1.0.

All draws come from torch's global CPU generator, the counterpart of Caffe's one global stream: `torch.manual_seed`
(a solver's `random_seed`) makes a run repeat. The streams themselves are not Caffe's, so the values drawn differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from caffe_port.errors import LayerError
from caffe_port.proto import caffe_pb2


def constant(value: Tensor, p: Any) -> None:
    value.fill_(p.value)


def uniform(value: Tensor, p: Any) -> None:
    value.uniform_(p.min, p.max)


def normal(value: Tensor, mean: float, std: float) -> None:
    """`value.normal_`; on "meta", where there is nothing to fill, torch would import its compiler first (seconds)."""
    if not value.is_meta:
        value.normal_(mean, std)


def gaussian(value: Tensor, p: Any) -> None:
    """Normal(mean, std); `sparse` >= 0 keeps on average that many non-zero inputs an output (rows are outputs)."""
    normal(value, p.mean, p.std)
    if p.sparse >= 0:
        if value.dim() < 1 or value.shape[0] < 1:
            raise ValueError("sparse needs a blob with outputs along axis 0")
        keep = min(1.0, p.sparse / value.shape[0])
        value.mul_(torch.bernoulli(torch.full_like(value, keep)))


def positive_unitball(value: Tensor, p: Any) -> None:
    """Uniform in (0, 1), then every row divided by its sum."""
    value.uniform_(0, 1)
    rows = value.view(value.shape[0], -1)
    rows.div_(rows.sum(dim=1, keepdim=True))


def fan(value: Tensor, p: Any) -> float:
    """The count that xavier and msra scale by. Caffe's fans: count/num and count/channels."""
    count = value.numel()
    fan_in = count / (value.shape[0] if value.dim() > 0 else 1)
    fan_out = count / (value.shape[1] if value.dim() > 1 else 1)
    if p.variance_norm == caffe_pb2.FillerParameter.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if p.variance_norm == caffe_pb2.FillerParameter.FAN_OUT else fan_in


def xavier(value: Tensor, p: Any) -> None:
    scale = math.sqrt(3 / fan(value, p))
    value.uniform_(-scale, scale)


def msra(value: Tensor, p: Any) -> None:
    normal(value, 0, math.sqrt(2 / fan(value, p)))


def bilinear(value: Tensor, p: Any) -> None:
    """Every plane the tent that interpolates: the start of an upsampling Deconvolution."""
    if value.dim() != 4 or value.shape[2] != value.shape[3]:
        raise ValueError(f"bilinear needs a blob of 4 axes with square planes, not {tuple(value.shape)}")
    size = value.shape[3]
    factor = math.ceil(size / 2)
    centre = (size - 1) / (2 * factor)
    tent = 1 - (torch.arange(size, dtype=torch.float64, device="cpu") / factor - centre).abs()  # "meta": see normal
    value.copy_(torch.outer(tent, tent).expand_as(value))


FILLERS: dict[str, Callable[[Tensor, Any], None]] = {
    f.__name__: f for f in (constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear)
}


def fill(value: Tensor, param: Any, where: str = "blob") -> None:
    """Fill `value` in place as FillerParameter `param` says; `where` starts the error messages."""
    rule = FILLERS.get(param.type)
    if rule is None:
        raise LayerError(f"{where}: unknown filler type '{param.type}'; known are {', '.join(sorted(FILLERS))}")
    if param.sparse != -1 and param.type != "gaussian":
        raise LayerError(f"{where}: sparse is an option of the gaussian filler only, not of '{param.type}'")
    if not value.numel():
        return  # nothing to fill, and no fan to divide by
    with torch.no_grad():
        try:
            rule(value, param)
        except (ValueError, ZeroDivisionError, RuntimeError) as e:  # torch's own: a range or deviation that cannot be
            raise LayerError(f"{where}: filler '{param.type}': {e}") from None
