"""RegionLoss: YOLOv2's loss."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import yolo, yolo_loss
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.given import Given


@register()
class RegionLoss(Layer):
    """loss = 1/N sum delta^2; the gradient is delta / N itself, as Darknet has it, not the loss's derivative.

    Bottoms: predictions (N, B * (5 + C), S, S), for each of `num` boxes x, y, w, h, object, classes; labels (N, ...,
    5): class, and centre and size as shares of the image; a row of zeros ends them. Top: the loss ().

    o = sigmoid(object), p = softmax of the classes, a box: ((column + sigmoid(x)) / S, exp(w) * bias / S) and so on.
    A box that overlaps no true box by more than `thresh`: delta of object = noobject_scale * o * o (1 - o). For each
    true box, one after the other, the box of its pixel whose `biases` overlap it most (`bias_match: 0`: which itself
    does), by shape, gets: x: coord_scale * (sigmoid(x) - tx) sigmoid'(x), w: coord_scale * (w - tw), with t what would
    be right; object: object_scale * (o - overlap) o (1 - o); classes: class_scale * (p - onehot). `rescore: 0` takes 1
    for the overlap, and coord_scale times 2 - area.

    side, softmax, jitter, absolute, random and class_map do nothing there or here. Raises for a map that is not square,
    biases that are missing, softmax_tree, coords other than 4, and a true box of no class or outside the image.
    Source: region_loss_layer.cpp of MobileNet-YOLO (Redmon and Farhadi, 2016).
    """

    origin = "MobileNet-YOLO"
    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.region_loss_param
        if not p.num or not p.num_class:
            raise self.error("num and num_class must be positive")
        if len(p.biases) < 2 * p.num:
            raise self.error(f"{p.num} boxes want {2 * p.num} biases, there are {len(p.biases)}")
        if p.softmax_tree or p.coords != 4:
            raise self.unsupported("softmax_tree, and coords other than 4")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p, shape = self.param.region_loss_param, bottom_shapes[0]
        yolo_loss.check_shapes(self, shape, bottom_shapes[1], p.num, p.num_class)
        if shape[2] != shape[3]:
            raise self.shape_error(f"the map must be square, not {shape[2:]}")
        return [()]

    def forward(self, predicted: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            delta = self.delta(predicted.detach(), labels.detach())
            count = max(1, len(predicted))
            loss, gradient = delta.square().sum() / count, delta.reshape(predicted.shape) / count
        return Given.apply(predicted, loss, gradient)

    def frame(self, side: int) -> list[np.ndarray]:
        """The pixels' places (2, S, S), and the boxes' biases (B, 2)."""
        p = self.param.region_loss_param
        biases = np.array(p.biases[: 2 * p.num], np.float64).reshape(-1, 2)
        return [yolo.grid(side, side).T.reshape(2, side, side), biases]

    def delta(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """(N, B, 5 + C, S, S)"""
        p, (n, _, side, _) = self.param.region_loss_param, predicted.shape
        x = predicted.reshape(n, p.num, predicted.shape[1] // p.num, side, side)
        place, sure, chances = x[:, :, :2].sigmoid(), x[:, :, 4].sigmoid(), x[:, :, 5:].softmax(2)
        grid, biases = self.made_once(x, self.frame, side)
        sizes = biases / side
        found = torch.cat([(grid + place) / side, x[:, :, 2:4].exp() * sizes[:, :, None, None]], 2)
        found = found.permute(0, 1, 3, 4, 2)
        slope = sure * (1 - sure)
        delta = torch.zeros_like(x)
        labels = labels.flatten(1).unflatten(1, (-1, 5))
        told = labels.cpu()  # the one time that a GPU is waited for, unless boxes are matched by what they predict
        shapes = torch.from_numpy(self.frame(side)[1]).to(x.dtype) / side
        for image, (rows, known) in enumerate(zip(labels, told, strict=True)):
            seen, learnt = yolo_loss.true_boxes(self, known, p.num_class)
            free = yolo_loss.best_overlap(found[image], rows[:seen, 1:]) <= p.thresh
            delta[image, :, 4] = torch.where(free, p.noobject_scale * sure[image] * slope[image], 0)
            for row, read in zip(rows[:learnt], known, strict=False):
                label, true = int(read[0]), row[1:]
                i, j = (int(v) for v in read[1:3] * side)
                if p.bias_match:
                    box = int(yolo_loss.of_shapes(shapes, read[3:]).argmax())
                else:
                    box = int(yolo_loss.of_shapes(found[image, :, j, i, 2:], true[2:]).argmax())
                overlap = yolo_loss.overlaps(found[image, box, j, i], true)
                scale = p.coord_scale if p.rescore else p.coord_scale * (2 - true[2] * true[3])
                here, at = x[image, box, :, j, i], delta[image, box, :, j, i]
                moved = place[image, box, :, j, i]
                at[:2] = scale * (moved - (true[:2] * side).frac()) * moved * (1 - moved)
                at[2:4] = scale * (here[2:4] - (true[2:] / sizes[box]).log())
                aim = overlap if p.rescore else 1
                at[4] = p.object_scale * (sure[image, box, j, i] - aim) * slope[image, box, j, i]
                at[5:] = p.class_scale * chances[image, box, :, j, i]
                at[5 + label] -= p.class_scale
        return delta
