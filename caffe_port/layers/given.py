"""A value whose gradient is given, not derived."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Given(torch.autograd.Function):
    """`value`, with `slope` times its diff for the diff of `bottom`; slope: like bottom, value: like it or ()."""

    @staticmethod
    def forward(bottom: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, diff: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * diff, None, None
