"""MultiBoxLoss: SSD's loss of the offsets of matched priors, and of the classes of these and of hard negatives."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe_port.layers import boxes, matching, normalization
from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.softmax_with_loss import FLT_MIN
from caffe_port.proto import caffe_pb2

_Loss = caffe_pb2.MultiBoxLossParameter


@register()
class MultiBoxLoss(Layer):
    """(loc_weight * location loss + confidence loss) / d over the priors that match a true box and chosen negatives.

    Bottoms: locations (N, P * L * 4), L = 1 with `share_location`, else one set of offsets a class; scores before any
    softmax (N, P * C); priors (1, 2, P * 4); true boxes (1, 1, G, 8): image (-1: no box), class, instance, xmin, ymin,
    xmax, ymax, difficult. Top: the loss (). Priors, or with `use_prior_for_matching: false` the predicted boxes, are
    matched, and negatives chosen, as matching.py says. Location loss: SMOOTH_L1 or L2 (half squares) of predicted
    against encoded offsets, summed; with `bp_inside` sides outside the image do not count. Confidence loss: SOFTMAX or
    LOGISTIC against the class of the true box, or the background, summed; without mining over all priors. d by
    `loss_param`: VALID (the default) the number of matches, FULL N * P, BATCH_SIZE N, NONE 1; at least 1. A
    `propagate_down: false` leaves its loss out, also from the top.

    In an image without true boxes nothing is negative when mining. Equal losses: the lower prior is chosen first.
    Raises for sizes that do not fit, for mining with one set of offsets a class, for a true box that is background, no
    class, or in an image that is not there. Source: multibox_loss_layer.cpp and bbox_util.cpp of SSD (Liu et al., 2016,
    equation 1). LOGISTIC without mining puts the targets of all images but the first in wrong places there, not here.
    """

    origin = "SSD"
    bottoms = (4, 4)
    role = "loss"
    differentiable_bottoms = (0, 1)
    auto_tops = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.multibox_loss_param
        self.mode = normalization.mode(self.param.loss_param)
        self.offsets = 1 if p.share_location else p.num_classes
        mining = p.mining_type != _Loss.NONE
        if not p.num_classes:
            raise self.error("give num_classes, the background included")
        if p.background_label_id >= p.num_classes:
            raise self.error(f"background_label_id {p.background_label_id} is not one of the {p.num_classes} classes")
        if p.HasField("do_neg_mining") and p.do_neg_mining != mining:
            raise self.error("do_neg_mining contradicts mining_type, which took its place; remove it")
        if mining and not p.share_location:
            raise self.error("mining goes with share_location only; give mining_type: NONE")
        if p.mining_type == _Loss.HARD_EXAMPLE and p.sample_size <= 0:
            raise self.error("sample_size must be positive")
        if p.map_object_to_agnostic and p.num_classes != 2:
            raise self.error(f"map_object_to_agnostic goes with two classes, not {p.num_classes}")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.multibox_loss_param
        locations, scores, priors = bottom_shapes[:3]
        boxes.count_priors(self, locations, scores, priors, p.num_classes, self.offsets)
        if len(bottom_shapes[3]) != 4 or bottom_shapes[3][3] != 8:
            raise self.shape_error(f"true boxes must be (1, 1, boxes, 8), not {bottom_shapes[3]}")
        return [()]

    def forward(self, locations: Tensor, scores: Tensor, priors: Tensor, truth: Tensor) -> Tensor:
        p, n = self.param.multibox_loss_param, len(locations)
        mean, variance = priors.detach().reshape(2, -1, 4)
        found = locations.reshape(n, len(mean), self.offsets, 4).transpose(1, 2)
        logits = scores.reshape(n, len(mean), p.num_classes)
        with torch.no_grad():
            image, classes, true = self.true_boxes(truth, n)
            coded = None if p.encode_variance_in_target else variance
            predicted = boxes.decode(found, mean, coded, p.code_type)
            matches, overlaps = self.matches(image, classes, true, mean, predicted)
            counts = torch.ones_like(matches[:, 0], dtype=torch.bool)
            if p.mining_type != _Loss.NONE:
                wanted = self.label_of(matches, classes).flatten()
                losses = self.confidence(logits.flatten(0, 1), wanted).view_as(matches[:, 0])
                if p.mining_type == _Loss.HARD_EXAMPLE:
                    losses[matches[:, 0] >= 0] += self.location(found, matches, true, mean, variance, predicted)
                candidates = mean.expand_as(predicted[:, 0]) if p.use_prior_for_nms else predicted[:, 0]
                counts = torch.zeros_like(counts)
                for i in image.unique().tolist():
                    mined = matching.mine(matches[i, 0], overlaps[i, 0], losses[i], candidates[i], p)
                    matches[i, 0], counts[i] = mined
            wanted = self.label_of(matches, classes)
            counts |= wanted >= 0
        loss = scores.new_zeros(())
        if self.propagates(0):
            loss = loss + p.loc_weight * self.location(found, matches, true, mean, variance, predicted).sum()
        if self.propagates(1):
            loss = loss + self.confidence(logits[counts], wanted[counts]).sum()
        return loss / normalization.divisor(self.mode, n, len(mean), (matches >= 0).sum())

    def propagates(self, bottom: int) -> bool:
        given = self.param.propagate_down
        return not given or given[bottom]

    def true_boxes(self, truth: Tensor, images: int) -> tuple[Tensor, Tensor, Tensor]:
        """Image, class and corners of the true boxes that count."""
        p = self.param.multibox_loss_param
        rows = truth.detach().reshape(-1, 8)
        rows = rows[(rows[:, 0].trunc() != -1) & (p.use_difficult_gt | (rows[:, 7] == 0))]
        image, classes = rows[:, 0].long(), rows[:, 1].long()
        if p.map_object_to_agnostic:
            classes = torch.full_like(classes, p.background_label_id + 1)
        bad = (image < 0) | (image >= images)
        if bad.any():
            raise self.error(f"a true box lies in image {rows[bad][0, 0].item():g}; there are {images}, from 0")
        bad = (classes < 0) | (classes >= p.num_classes) | (classes == p.background_label_id)
        if bad.any():
            raise self.error(
                f"a true box has class {classes[bad][0].item()}; classes are 0 to {p.num_classes - 1} without the "
                f"background {p.background_label_id}"
            )
        return image, classes, rows[:, 3:7]

    def matches(
        self, image: Tensor, classes: Tensor, true: Tensor, mean: Tensor, predicted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Matches with rows of `true`, and overlaps: (N, L, P) each."""
        p = self.param.multibox_loss_param
        index = torch.full(predicted.shape[:3], matching.NONE, device=mean.device)
        overlap = predicted.new_zeros(predicted.shape[:3])
        for i in image.unique().tolist():
            inside = (image == i).nonzero().flatten()
            for slot in range(self.offsets):
                if not p.share_location and slot == p.background_label_id:
                    continue
                rows, found = inside, mean if p.use_prior_for_matching else predicted[i, slot]
                if not p.use_prior_for_matching and not p.share_location:
                    rows = inside[classes[inside] == slot]
                one, best = matching.match(found, true[rows], p)
                one = torch.where(one >= 0, rows[one.clamp(min=0)], one) if len(rows) else one
                if not p.share_location:
                    other = (one >= 0) & (classes[one.clamp(min=0)] != slot)
                    one = torch.where(other, matching.NONE, one)
                index[i, slot], overlap[i, slot] = one, best
        return index, overlap

    def location(
        self, found: Tensor, matches: Tensor, true: Tensor, mean: Tensor, variance: Tensor, predicted: Tensor
    ) -> Tensor:
        """The location loss of each match, in their order in `matches`."""
        p = self.param.multibox_loss_param
        positive = matches >= 0
        place = positive.nonzero()[:, 2]
        prior, share = mean[place], variance[place]
        coded = None if p.encode_variance_in_target else share
        difference = found[positive] - boxes.encode(true[matches[positive]], prior, coded, p.code_type)
        if p.bp_inside:
            sides = prior if p.use_prior_for_matching else predicted[positive]
            difference = torch.where((sides < 0) | (sides > 1), 0, difference)
        if p.encode_variance_in_target:
            difference = difference / share
        if p.loc_loss_type == _Loss.L2:
            return (difference * difference).sum(-1) / 2
        return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none").sum(-1)

    def label_of(self, matches: Tensor, classes: Tensor) -> Tensor:
        """(N, P): the class of the true box that each prior matches, -1 where none. Of several the highest class."""
        if not len(classes):
            return torch.full_like(matches[:, 0], -1)
        return torch.where(matches >= 0, classes[matches.clamp(min=0)], -1).amax(1)

    def confidence(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The confidence loss of priors with logits (R, C); classes (R,) -1: background."""
        p = self.param.multibox_loss_param
        wanted = torch.where(classes >= 0, classes, p.background_label_id)
        if p.conf_loss_type == _Loss.SOFTMAX:
            return -label.floor(-F.cross_entropy(logits, wanted, reduction="none"), math.log(FLT_MIN))
        target = F.one_hot(wanted, p.num_classes).to(logits.dtype)
        if p.mining_type == _Loss.NONE:  # what matches nothing then has no 1 at all, not even for the background
            target = target * (classes >= 0)[:, None]
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
