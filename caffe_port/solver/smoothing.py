"""The loss that is displayed: the mean over the last `average_loss` iterations, in Caffe's arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import log


class SmoothedLoss:
    """Running mean in single precision, updated as `Solver::UpdateSmoothedLoss` (src/caffe/solver.cpp) does.

    Losses that live on a GPU are fetched in batches: asking for each at once would stop the device at every iteration.
    A loss that is not finite is warned about once, with its iteration.
    """

    BATCH = 50

    def __init__(self, average_loss: int) -> None:
        self.size = average_loss
        self.losses: list[np.float32] = []
        self._count = 0
        self.latest = np.float32(0)  # the mean without the losses still to be fetched
        self._pending: list[tuple[int, Tensor | float]] = []
        self._warned = False

    def add(self, loss: Tensor | float, iteration: int) -> None:
        self._pending.append((iteration, loss))
        on_host = not isinstance(loss, Tensor) or loss.device.type == "cpu"
        if on_host or len(self._pending) >= self.BATCH:
            self.flush()

    @property
    def value(self) -> np.float32:
        self.flush()
        return self.latest

    def flush(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        losses = [loss if isinstance(loss, Tensor) else torch.tensor(loss) for _, loss in pending]
        values = torch.stack(losses).float().cpu().numpy()
        for (iteration, _), value in zip(pending, values, strict=True):
            self._take(value, iteration)

    def state(self) -> dict[str, Any]:
        """What `of` makes it anew from: plain numbers, exact."""
        self.flush()
        return {
            "size": self.size,
            "losses": [float(loss) for loss in self.losses],
            "count": self._count,
            "latest": float(self.latest),
            "warned": self._warned,
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> SmoothedLoss:
        made = cls(state["size"])
        made.losses = [np.float32(loss) for loss in state["losses"]]
        made._count, made.latest, made._warned = state["count"], np.float32(state["latest"]), state["warned"]
        return made

    def _take(self, loss: np.float32, iteration: int) -> None:
        if not np.isfinite(loss) and not self._warned:
            self._warned = True
            log.warn("solver.cpp:239", f"Iteration {iteration}: the loss is {loss:g}, not a finite number (said once)")
        with np.errstate(all="ignore"):
            if len(self.losses) < self.size:
                self.losses.append(loss)
                size = np.float32(len(self.losses))
                self.latest = (self.latest * (size - np.float32(1)) + loss) / size
            else:
                oldest = self._count % self.size
                self.latest = self.latest + (loss - self.losses[oldest]) / np.float32(self.size)
                self.losses[oldest] = loss
        self._count += 1
