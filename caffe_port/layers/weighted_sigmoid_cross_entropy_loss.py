"""WeightedSigmoidCrossEntropyLoss: binary cross-entropies in which yes and no weigh the same over the data."""

from __future__ import annotations

from math import prod
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers import normalization
from caffe_port.layers.base import Layer, Shape, register


@register()
class WeightedSigmoidCrossEntropyLoss(Layer):
    """loss = -1/d sum_n sum_i t_ni/(2 w_i) log s(x_ni) + (1 - t_ni)/(2 (1 - w_i)) log(1 - s(x_ni)), s the sigmoid.

    w_i is the positive rate of attribute i in the training data, so that its positives and negatives weigh the same in
    total. Bottoms: logits x (N x I x ...), targets t of the same count, in [0, 1] or `loss_param.ignore_label` (cut to
    a whole number), which costs nothing. Top: the loss (). d: as in SigmoidCrossEntropyLoss, default BATCH_SIZE = N.

    `weighted_sigmoid_cross_entropy_loss_param` gives the rates: `positive_rate`, once an attribute, or `source`, a text
    file of one rate a line in the attributes' order (`rate` or `name,rate`; # starts a comment). LayerError: a rate
    that is not strictly between 0 and 1 (its weights would be infinite), another number of rates than I, a target out
    of range (CPU).

    Source: equation (2) of Gao et al. 2019, printed there without the minus sign; not in BVLC Caffe. prototxt/hmt/
    weighted_loss.py is the same as a pycaffe layer. It is `F.binary_cross_entropy_with_logits` with weight 1/(2 (1 -
    w)) and pos_weight (1 - w)/w.
    """

    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True
    origin = "Gao et al. 2019"

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.weighted_sigmoid_cross_entropy_loss_param
        self.ignore = label.ignored(self.param.loss_param)
        self.mode = normalization.mode(self.param.loss_param, default=normalization.BATCH_SIZE)
        if bool(p.positive_rate) == bool(p.source):
            raise self.error("needs the attributes' positive rates: positive_rate, once an attribute, or else source")
        rates = self._read(p.source) if p.source else [(f"attribute {i}", r) for i, r in enumerate(p.positive_rate)]
        for who, rate in rates:
            if not 0 < rate < 1:
                raise self.error(
                    f"the positive rate of {who} is {rate:g}; it must lie between 0 and 1, both excluded (an attribute "
                    "that is always or never there cannot be weighted: leave it out)"
                )
        # A buffer follows the net to its device; it is no blob of Caffe's, so weights files do not hold it.
        self.register_buffer("rates", torch.tensor([r for _, r in rates], dtype=torch.float64), persistent=False)

    def _read(self, source: str) -> list[tuple[str, float]]:
        try:
            lines = Path(source).read_text(encoding="utf-8").splitlines()
        except OSError as e:
            raise self.error(f"cannot read the positive rates: {source}: {e.strerror}") from e
        rates: list[tuple[str, float]] = []
        for number, line in enumerate(lines, 1):
            text = line.split("#", 1)[0].strip()
            if not text:
                continue
            name, _, rate = text.rpartition(",")
            try:
                rates.append((f"attribute {len(rates)} ({name or 'no name'}, {source}:{number})", float(rate)))
            except ValueError:
                raise self.error(f"{source}:{number}: '{text}' is neither a rate nor name,rate") from None
        return rates

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        logits, targets = bottom_shapes
        if prod(logits) != prod(targets):
            raise self.shape_error(f"logits {logits} and targets {targets} must have the same count")
        rates = self.rates.numel()
        if len(logits) < 2 or logits[1] != rates:
            raise self.shape_error(f"{rates} positive rates for logits {logits}; there must be one a channel (axis 1)")
        return [()]

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        wanted = targets.detach().reshape(logits.shape)
        valid = None if self.ignore is None else wanted.trunc() != self.ignore
        self._check(wanted, valid)
        w = self.rates.reshape(-1, *(1,) * (logits.dim() - 2))
        each = F.binary_cross_entropy_with_logits(
            logits,
            wanted,
            weight=(0.5 / (1 - w)).to(logits.dtype),
            pos_weight=((1 - w) / w).to(logits.dtype),
            reduction="none",
        )
        if valid is not None:
            each = each.where(valid, each.new_zeros(()))
        return each.sum() / normalization.divisor(self.mode, logits.shape[0], prod(logits.shape[1:]), valid)

    def _check(self, targets: Tensor, valid: Tensor | None) -> None:
        if targets.device.type != "cpu" or torch.compiler.is_compiling():
            return
        bad = ~((targets >= 0) & (targets <= 1))
        if valid is not None:
            bad &= valid
        if bad.any():
            at = tuple(bad.nonzero()[0].tolist())
            raise self.error(
                f"target {targets[at].item():g} at {at} is not in [0, 1]; if it means unknown, give loss_param "
                "{ ignore_label: ... }"
            )
