"""`caffe.Timer`: a stopwatch of device time. Source: src/caffe/util/benchmark.cpp of BVLC Caffe 1.0."""

from __future__ import annotations

import time

import torch


class Timer:
    """`start()`, `stop()`, then `ms`: milliseconds between them, with the GPU's work done on both sides; 0 if unused.
    A running one is stopped by asking."""

    def __init__(self) -> None:
        self._running = False
        self._began = self._lapse = 0.0

    def start(self) -> None:
        """Does nothing while it runs."""
        if not self._running:
            self._began, self._running = _now(), True

    def stop(self) -> None:
        if self._running:
            self._lapse, self._running = _now() - self._began, False

    @property
    def ms(self) -> float:
        self.stop()
        return self._lapse * 1000


def _now() -> float:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
