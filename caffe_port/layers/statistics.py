"""The statistics of a net's BatchNorm layers, handled for all of them at once.

By itself a layer does six to eight operations on a few hundred numbers in every pass: more than its work on the data,
where a GPU waits for each to be asked for. Here they are a handful for the whole net, with the same results bit for
bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

ALIGNED = 64
"""Numbers from one layer's part to the next are a multiple of it, as where each has memory of its own (256 bytes)."""


class Slot:
    """A layer's statistics during one pass: the `stored` ones, or room for those that it finds (`filled`)."""

    __slots__ = ("filled", "mean", "stored", "variance")

    def __init__(self, mean: Tensor, variance: Tensor, stored: bool = False) -> None:
        self.mean, self.variance, self.stored, self.filled = mean, variance, stored, False


class Statistics:
    """A context for one pass of the net. A pass that fails changes none of the statistics handled here.

    Layers whose blobs are shared stay on their own, since one may read what another has just written; so do NVIDIA's
    form, those that take the statistics of several processes, and those whose `use_global_stats` a program has changed
    since the net was built.
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        every = list(layers)
        owners = {id(owner) for layer in every for owner, _, _ in layer.shared.values()}
        own = [x for x in every if hasattr(x, "slot") and not (x.scale_bias or x.shared or id(x) in owners)]
        self.stored = _Part([layer for layer in own if layer.use_global_stats])
        self.batch = _Part([layer for layer in own if not layer.use_global_stats])

    @torch.no_grad()
    def __enter__(self) -> None:
        if self.stored.layers:
            self.stored.hand_out(self.stored.freed_of_count(), stored=True)
        if self.batch.layers and self.batch.layers[0].total is None:
            self.batch.hand_out(self.batch.zeros(), stored=False)

    @torch.no_grad()
    def __exit__(self, kind: Any, *error: Any) -> None:
        if kind is None:
            self.batch.fold_in()
        for layer in self.stored.layers + self.batch.layers:
            layer.__dict__["slot"] = None


class _Part:
    """Layers whose means lie behind one another in one tensor, and their variances behind those."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        counts = [layer.mean.numel() for layer in layers]
        self.pads = [-count % ALIGNED for count in counts]
        self.room = [count + pad for count, pad in zip(counts, self.pads, strict=True)]
        self.sizes = [n for c, pad in zip(counts, self.pads, strict=True) for n in ((c, pad) if pad else (c,))]
        self.is_layer = [real for pad in self.pads for real in ((True, False) if pad else (True,))]
        self._on_device: tuple[Tensor, Tensor] | None = None

    def freed_of_count(self) -> Tensor:
        """The stored means and variances, divided by the layers' scale_factor; 0 where that is 0."""
        rows, nothing = self._constants(self.layers[0].mean)
        pieces = []
        for blob in ("mean", "variance"):
            for layer, pad in zip(self.layers, self.pads, strict=True):
                pieces.append(layer._buffers[blob])
                if pad:
                    pieces.append(nothing[:pad])
        counts = torch.cat([layer._buffers["scale_factor"] for layer in self.layers])
        factor = counts.reciprocal().nan_to_num(posinf=0.0, neginf=0.0)
        return torch.cat(pieces).view(2, -1) * factor[rows]

    def zeros(self) -> Tensor:
        return self.layers[0].mean.new_zeros(2, sum(self.room))

    def hand_out(self, both: Tensor, stored: bool) -> None:
        parts = both.view(-1).split(self.sizes * 2)
        if any(self.pads):
            parts = tuple(part for part, real in zip(parts, self.is_layer * 2, strict=True) if real)
        count = len(self.layers)
        for layer, mean, variance in zip(self.layers, parts[:count], parts[count:], strict=True):
            layer.__dict__["slot"] = Slot(mean, variance, stored)  # a module's own __setattr__ takes longer

    def fold_in(self) -> None:
        """What each layer's `update` does with the batch's statistics, for all that found some."""
        layers = [layer for layer in self.layers if layer.slot is not None and layer.slot.filled]
        if not layers:
            return
        factors, slots = [layer.scale_factor for layer in layers], [layer.slot for layer in layers]
        sums = [layer.mean for layer in layers] + [layer.variance for layer in layers]
        fractions = [layer.param.batch_norm_param.moving_average_fraction for layer in layers]
        torch._foreach_mul_(factors + sums, fractions * 3)
        torch._foreach_add_(factors, 1)
        torch._foreach_add_(sums, [slot.mean for slot in slots] + [slot.variance for slot in slots])

    def _constants(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Which layer each number belongs to, and zeros for the gaps; on the device of `like`."""
        made = self._on_device
        if made is None or made[1].device != like.device or made[1].dtype != like.dtype:
            rows = np.repeat(np.arange(len(self.room)), self.room)
            made = torch.from_numpy(rows).to(like.device), like.new_zeros(ALIGNED)
            self._on_device = made
        return made
