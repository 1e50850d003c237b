"""Diffs summed over processes while backward is still running.

The diffs go into flat buckets, those that backward finishes first into the first. A bucket is sent as soon as its last
diff is there, so that the network works while backward goes on; a small first bucket starts it early. Buckets are sent
in one fixed order: a process in which some blob gets no diff sends zeros for it when backward is over, and the others
meet it there.

torch's DistributedDataParallel does the same for a module's forward. It is not used, because a blob without a diff
needs a search of the graph there at every step, and because the island driver (`debug_info`) has no such forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

FIRST, SIZE = 1 << 20, 25 << 20  # bytes a bucket
Send = Callable[[Tensor], Any]
"""Starts the sum of a tensor over the processes, in place; the result's `wait` ends it."""


class Bucket:
    """Parameters whose diffs travel together, and the flat tensor in which they do. `missing`: diffs not there yet."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        first = self.parameters[0]
        self.flat = torch.zeros(sum(p.numel() for p in self.parameters), dtype=first.dtype, device=first.device)
        parts = self.flat.split([p.numel() for p in self.parameters])
        self.parts = [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]
        self.missing = 0
        self.work: Any = None

    def fill(self) -> None:
        """Copy the diffs in; from now on the flat tensor's parts are the diffs."""
        for p, part in zip(self.parameters, self.parts, strict=True):
            if p.grad is None:
                part.zero_()
            elif p.grad.data_ptr() != part.data_ptr():
                part.copy_(p.grad)
            p.grad = part


class Reducer:
    """Makes the diffs of `parameters` their mean over `world` processes: `arm`, backward, `finish`."""

    def __init__(self, parameters: Sequence[nn.Parameter], world: int, send: Send) -> None:
        self.world = world
        self.send = send
        self.buckets = [Bucket(part) for part in _parts(parameters)]
        self.next = len(self.buckets)
        self.armed = False
        for bucket in self.buckets:
            for parameter in bucket.parameters:
                parameter.register_post_accumulate_grad_hook(self._arrival(bucket))

    def arm(self) -> None:
        """The next backward pass completes the diffs."""
        self.armed, self.next = True, 0
        for bucket in self.buckets:
            bucket.missing = len(bucket.parameters)

    @torch.no_grad()
    def finish(self) -> None:
        """Send what is left, wait for all, divide."""
        self.armed = False
        while self.next < len(self.buckets):
            self._send_next()
        for bucket in self.buckets:
            bucket.work.wait()
            bucket.flat.mul_(1 / self.world)

    def _arrival(self, bucket: Bucket) -> Callable[[Tensor], None]:
        def arrived(parameter: Tensor) -> None:
            if not self.armed:
                return
            bucket.missing -= 1
            while self.next < len(self.buckets) and self.buckets[self.next].missing == 0:
                self._send_next()

        return arrived

    @torch.no_grad()
    def _send_next(self) -> None:
        bucket = self.buckets[self.next]
        self.next += 1
        bucket.fill()
        bucket.work = self.send(bucket.flat)


def _parts(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters from the last to the first, as backward finishes them, cut at the buckets' sizes."""
    parts: list[list[nn.Parameter]] = []
    room = 0
    for parameter in reversed(parameters):
        size = parameter.numel() * parameter.element_size()
        if not parts or room < size or parts[-1][0].dtype != parameter.dtype:
            room = SIZE if parts else FIRST
            parts.append([])
        parts[-1].append(parameter)
        room -= size
    return parts
