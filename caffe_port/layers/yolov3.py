"""Yolov3: YOLOv3's loss."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import box_slopes, yolo, yolo_loss
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.box_slopes import MSE
from caffe_port.layers.given import Given

FOCAL = 0.5


@register()
class Yolov3(Layer):
    """loss = 1/N sum delta^2; the gradient is delta / N itself, as Darknet has it, not the loss's derivative.

    Bottoms: predictions (N, B * (5 + C), h, w), for each of `num` boxes x, y, w, h, object, classes; labels (N, ...,
    5): class, and centre and size as shares of the image; a row of zeros ends them. Top: the loss ().
    `mask` says which pairs of `biases` (in pixels of the image, h and w times anchors_scale) the boxes have.

    s means sigmoid. A box that overlaps no true box by more than `thresh`: delta of object = s(object). For each true
    box, one after the other: the pair of all biases that overlaps it most, by shape, and then all pairs of the mask
    that do by more than `iou_thresh`; those in the mask have a box at its pixel, and that gets:
    * MSE: x: k (s(x) - tx), w: k (w - tw) with t what would be right, k = coord_scale * (2 - area); else what
      box_slopes.py says, w and h times exp of them, times -iou_normalizer, cut at max_delta, added up (`accumulate:
      false`: put in place of what was there); by which also the overlaps above are measured;
    * object: s(object) - 1; classes: class_scale * (s(class) - onehot), the onehot drawn towards 1/2 by
      label_smooth_eps, or with use_focal_loss the plain one, times 1/2 and -(1 - q)(2 q log q + q - 1), q the true
      class's. A class that had a delta before: only that one anew.
    With another iou_loss than MSE the loss has, in place of the box's deltas, iou_normalizer times the mean of 1 less
    the measure over all matches. `use_logic_gradient`: object times object_scale, and the gradient of all but w and h
    times s'. noobject_scale and side do nothing there or here. All but MSE the host computes, box by box.

    Raises where mask, biases or channels do not fit, and for a true box of no class or outside the image. Source:
    yolov3_layer.cpp of MobileNet-YOLO (Redmon and Farhadi, 2018), whose comparison of a pair's number with a place in
    the mask is kept.
    """

    origin = "MobileNet-YOLO"
    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.yolov3_param
        if not p.num or not p.num_class or not p.anchors_scale:
            raise self.error("num, num_class and anchors_scale must be positive")
        if len(p.mask) < p.num or max(p.mask, default=0) >= len(p.biases) // 2:
            raise self.error(f"{p.num} boxes want as many mask, each the number of a pair of {len(p.biases)} biases")
        self.mask = list(p.mask[: p.num])
        self.biases = np.array(p.biases[: len(p.biases) // 2 * 2], np.float64).reshape(-1, 2)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.yolov3_param
        yolo_loss.check_shapes(self, bottom_shapes[0], bottom_shapes[1], p.num, p.num_class)
        return [()]

    def forward(self, predicted: Tensor, labels: Tensor) -> Tensor:
        p, count = self.param.yolov3_param, max(1, len(predicted))
        with torch.no_grad():
            slopes = p.iou_loss != MSE  # which are found one by one, by the host
            given = [t.detach().cpu() if slopes else t.detach() for t in (predicted, labels)]
            x, s, delta, missed = self.delta(*given)
            if p.iou_loss == MSE:
                loss = delta.square().sum()
            else:
                loss = delta[:, :, 4:].square().sum() + p.iou_normalizer * sum(missed) / max(1, len(missed))
            if p.use_logic_gradient:
                delta = torch.cat([delta[:, :, :2] * s[:, :, :2] * (1 - s[:, :, :2]), delta[:, :, 2:4],
                                   delta[:, :, 4:] * s[:, :, 4:] * (1 - s[:, :, 4:])], 2)  # fmt: skip
            loss, delta = (t.to(predicted.device) for t in (loss / count, delta.reshape(predicted.shape) / count))
        return Given.apply(predicted, loss, delta)

    def frame(self, height: int, width: int) -> list[np.ndarray]:
        """The pixels' places (2, h, w), width and height of the map, and the mask's biases (B, 2)."""
        grid, size = yolo.grid(height, width).T.reshape(2, height, width), np.array([width, height], np.float64)
        return [grid, size, self.biases[self.mask]]

    def delta(self, predicted: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, list[float]]:
        """Predictions, their sigmoids and the deltas (N, B, 5 + C, h, w), and 1 less each match's measure."""
        p, (n, _, h, w) = self.param.yolov3_param, predicted.shape
        x = predicted.reshape(n, p.num, predicted.shape[1] // p.num, h, w)
        s = x.sigmoid()
        grid, side, biases = self.made_once(x, self.frame, h, w)
        sizes = biases / (side * p.anchors_scale)  # as shares of the image
        whole, every = (torch.from_numpy(a).to(x.dtype) for a in (np.array([w, h]), self.biases))
        shapes = (every / (whole * p.anchors_scale)).tolist()  # of all pairs
        centre = (grid + s[:, :, :2]) / side[:, None, None]
        found = torch.cat([centre, x[:, :, 2:4].exp() * sizes[:, :, None, None]], 2).permute(0, 1, 3, 4, 2)
        delta = torch.zeros_like(x)
        missed: list[float] = []
        labels = labels.flatten(1).unflatten(1, (-1, 5))
        told = labels.cpu()  # the one time that a GPU is waited for
        for image, (rows, known) in enumerate(zip(labels, told, strict=True)):
            seen, learnt = yolo_loss.true_boxes(self, known, p.num_class)
            free = self.measures(found[image], rows[:seen, 1:]) <= p.thresh
            delta[image, :, 4] = torch.where(free, s[image, :, 4], 0)
            for row, read in zip(rows[:learnt], known, strict=False):
                i, j = (int(v) for v in read[1:3] * whole)
                for box in self.matches(shapes, read[3:].tolist()):
                    at, here = delta[image, box, :, j, i], (x[image, box, :, j, i], s[image, box, :, j, i])
                    place = (row[1:3] * side).frac()
                    missed += self.teach_box(at, *here, found[image, box, j, i], row[1:], sizes[box], place)
                    at[4] = (here[1][4] - 1) * (p.object_scale if p.use_logic_gradient else 1)
                    self.teach_class(at[5:], here[1][5:], int(read[0]))
        return x, s, delta, missed

    def measures(self, found: Tensor, true: Tensor) -> Tensor:
        """The best measure of each box of found (..., 4), at least 0."""
        kind = self.param.yolov3_param.iou_loss
        if kind in (MSE, box_slopes.IOU):
            return yolo_loss.best_overlap(found, true)
        flat, others = found.reshape(-1, 4).tolist(), true.tolist()
        best = [max((box_slopes.measure(a, b, kind) for b in others), default=0.0) for a in flat]
        return found.new_tensor(best).reshape(found.shape[:-1]).clamp(min=0)

    def matches(self, shapes: list[list[float]], size: list[float]) -> list[int]:
        """Which boxes (places in the mask) answer for a true box of this size, in order; `shapes` of all pairs."""
        p, true = self.param.yolov3_param, [0.0, 0.0, *size]
        like = [box_slopes.measure([0.0, 0.0, *one], true, p.iou_loss) for one in shapes]
        best = max(range(len(like)), key=lambda n: like[n]) if max(like) > 0 else -1
        found = [self.mask.index(best)] if best in self.mask else []
        done = found[0] if found else best
        if p.iou_thresh < 1:
            more = (n for n in range(len(like)) if n in self.mask and n != done and like[n] > p.iou_thresh)
            found += [self.mask.index(n) for n in more]
        return found

    def teach_box(
        self, at: Tensor, x: Tensor, s: Tensor, found: Tensor, true: Tensor, own: Tensor, place: Tensor
    ) -> list[float]:
        """Set the box's deltas; 1 less the measure of the match, where the loss wants it."""
        p = self.param.yolov3_param
        if p.iou_loss == MSE:
            scale = p.coord_scale * (2 - true[2] * true[3])
            at[:2] = scale * (s[:2] - place)
            at[2:4] = scale * (x[2:4] - (true[2:] / own).log())
            return []
        pair = found.tolist(), true.tolist()
        grow = [1.0, 1.0, *x[2:4].exp().tolist()]
        slopes = [p.iou_normalizer * v * g for v, g in zip(box_slopes.slopes(*pair, p.iou_loss), grow, strict=True)]
        slopes = [min(max(v, -p.max_delta), p.max_delta) if math.isfinite(v) else 0.0 for v in slopes]
        at[:4] = (at[:4] if p.accumulate else 0) - at.new_tensor(slopes)
        kind = p.iou_loss if p.iou_loss in (box_slopes.GIOU, box_slopes.CIOU) else box_slopes.DIOU
        return [1 - box_slopes.measure(*pair, kind)]

    def teach_class(self, at: Tensor, s: Tensor, label: int) -> None:
        p, smooth = self.param.yolov3_param, self.param.yolov3_param.label_smooth_eps
        again = at.clone()
        again[label] = p.class_scale * (s[label] - (1 - smooth / 2))
        onehot = torch.zeros_like(s)
        onehot[label] = 1
        if p.use_focal_loss:
            q = s[label] + 1e-15
            first = p.class_scale * (s - onehot) * FOCAL * -(1 - q) * (2 * q * q.log() + q - 1)
        else:
            first = p.class_scale * (s - (onehot * (1 - smooth) + smooth / 2))
        at[:] = torch.where(at[label] != 0, again, first)
