"""Yolov3DetectionOutput: YOLOv3's predictions turned into a list of detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import detection_onnx, yolo
from caffe_port.layers.base import Layer, Shape, register


@register()
class Yolov3DetectionOutput(Layer):
    """Boxes around every pixel of several maps, once for each likely class; suppression over all of them together.

    Bottoms: `mask_group_num` feature maps (N, B * (L + 1 + C), h, w), B = `num_box`, C = `num_classes`: for each box
    the L coordinates, object, classes. L is 4: x, y, w, h; with `gaussian_box` 8: each followed by its uncertainty.
    Top: (1, 1, M, 7): image, class + 1, score, xmin, ymin, xmax, ymax as shares of the image, by image and score.
    The centre is (column + sigmoid(x)) / width of the map; the width exp(w) * bias / (width * `anchors_scale` of this
    map), where `mask` says which pair of `biases` the boxes of each map have. The score of a class is sigmoid(class) *
    sigmoid(object), with uncertainties also times 1 less the mean of their sigmoids. All above `confidence_threshold`,
    best first; those that overlap a better one, of any class, by `nms_threshold` or more are dropped. Where no image
    has any, M is N, each row its image's number and six times -1.

    M depends on the values: the shape rule says 1, as the original does. No gradient. Images are kept apart; the
    original takes a batch for one image. Raises where masks, scales, biases or channels do not fit. Source:
    yolov3_detection_output_layer.cpp of MobileNet-YOLO (Redmon and Farhadi, 2018; Choi et al., Gaussian YOLOv3, 2019).
    """

    origin = "MobileNet-YOLO"
    bottoms = (1, None)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.yolov3_detection_output_param
        if not p.HasField("num_classes") or not p.num_classes or not p.num_box:
            raise self.error("give num_classes, and make it and num_box positive")
        if len(bottom_shapes) != p.mask_group_num:
            raise self.error(f"mask_group_num is {p.mask_group_num}, there are {len(bottom_shapes)} bottoms")
        if len(p.mask) != p.mask_group_num * p.num_box:
            wanted = p.mask_group_num * p.num_box
            raise self.error(f"{p.mask_group_num} maps of {p.num_box} boxes want {wanted} mask, not {len(p.mask)}")
        if max(p.mask) * 2 + 1 >= len(p.biases):
            raise self.error(f"mask {max(p.mask)} names a pair that {len(p.biases)} biases do not have")
        if len(p.anchors_scale) < p.mask_group_num:
            raise self.error(f"{p.mask_group_num} maps want as many anchors_scale, not {len(p.anchors_scale)}")
        self.coordinates = 8 if p.gaussian_box else 4

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.yolov3_detection_output_param
        wanted = p.num_box * (self.coordinates + 1 + p.num_classes)
        for shape in bottom_shapes:
            if len(shape) != 4 or shape[1] != wanted or shape[0] != bottom_shapes[0][0]:
                raise self.shape_error(f"bottoms must be (N, {wanted}, height, width) with one N, not {shape}")
        return [(1, 1, 1, 7)]

    def frame(self, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of a map: the pixels' places (h * w, 1, 2), its width and height, and the boxes' sizes as shares (B, 2)."""
        p = self.param.yolov3_detection_output_param
        mask = p.mask[index * p.num_box : (index + 1) * p.num_box]
        size = np.array([width, height], np.float64)
        own = np.array(p.biases, np.float64)[: len(p.biases) // 2 * 2].reshape(-1, 2)[list(mask)]
        return yolo.grid(height, width)[:, None], size, own / (size * p.anchors_scale[index])

    def forward(self, *bottoms: Tensor) -> Tensor:
        p = self.param.yolov3_detection_output_param
        with torch.no_grad():
            found = [self.predictions(i, x) for i, x in enumerate(bottoms)]
            corners, scores = (torch.cat(part, 1) for part in zip(*found, strict=True))
            labels = torch.arange(1, p.num_classes + 1, device=scores.device).expand_as(scores)
            return yolo.rows(
                corners,
                scores.flatten(1),
                labels.flatten(1),
                scores.flatten(1) > p.confidence_threshold,
                p.nms_threshold,
            )

    def predictions(self, index: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Corners (N, h * w * B, 4) and scores (N, h * w * B, C)."""
        p, step, end = self.param.yolov3_detection_output_param, self.coordinates // 4, self.coordinates
        n, _, h, w = x.shape
        x = x.reshape(n, p.num_box, end + 1 + p.num_classes, h * w).permute(0, 3, 1, 2)
        place, size, own = self.made_once(x, self.frame, index, h, w)
        raw = x[..., 0:end:step]
        corners = yolo.corners((raw[..., :2].sigmoid() + place) / size, raw[..., 2:].exp() * own)
        sure = x[..., end : end + 1].sigmoid()
        if step > 1:
            sure = sure * (1 - x[..., 1:end:step].sigmoid().mean(-1, keepdim=True))
        return corners.flatten(1, 2), (x[..., end + 1 :].sigmoid() * sure).flatten(1, 2)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p, ints = self.param.yolov3_detection_output_param, detection_onnx.ints
        parts = [self.onnx_predictions(graph, i, x) for i, x in enumerate(bottoms)]
        found, scores = (
            graph.node("Concat", list(part), axis=1) if len(part) > 1 else part[0] for part in zip(*parts, strict=True)
        )
        count = sum(graph.shape(x)[2] * graph.shape(x)[3] * p.num_box for x in bottoms) * p.num_classes
        # One box for each class: (N, boxes * classes, 4), in the order of the scores
        each = graph.const(np.zeros((1, 1, p.num_classes, 4), np.float32), "classes")
        found = graph.node("Add", [graph.node("Unsqueeze", [found, ints(graph, 2)]), each])
        found = graph.node("Reshape", [found, ints(graph, 0, count, 4)])
        ranked = graph.node("Reshape", [scores, ints(graph, 0, 1, count)])
        kept = yolo.onnx_suppress(graph, found, ranked, count, p.nms_threshold, p.confidence_threshold)
        box = graph.node("Gather", [kept, ints(graph, 2)], axis=1)
        label = graph.node("Cast", [graph.node("Mod", [box, ints(graph, p.num_classes)])], to=detection_onnx.FLOAT)
        label = graph.node("Add", [label, detection_onnx.number(graph, 1)])
        detection_onnx.rows(graph, kept, found, ranked, label, tops)

    def onnx_predictions(self, graph: Any, index: int, bottom: str) -> tuple[str, str]:
        p, ints, end = self.param.yolov3_detection_output_param, detection_onnx.ints, self.coordinates
        _, _, h, w = graph.shape(bottom)
        count, step = h * w * p.num_box, end // 4
        x = graph.node("Reshape", [bottom, ints(graph, 0, p.num_box, end + 1 + p.num_classes, h * w)])
        x = graph.node("Transpose", [x], perm=[0, 3, 1, 2])
        place, size, own = (graph.const(a, "frame") for a in self.frame(index, h, w))

        def part(start: int, stop: int, step: int = 1) -> str:
            return graph.node("Slice", [x, *(ints(graph, i) for i in (start, stop, -1, step))])

        moved = graph.node("Add", [graph.node("Sigmoid", [part(0, 2 * step, step)]), place])
        grown = graph.node("Mul", [graph.node("Exp", [part(2 * step, end, step)]), own])
        found = yolo.onnx_corners(graph, graph.node("Div", [moved, size]), grown)
        sure = graph.node("Sigmoid", [part(end, end + 1)])
        if step > 1:
            doubt = graph.node("ReduceMean", [graph.node("Sigmoid", [part(1, end, step)])], axes=[-1], keepdims=1)
            sure = graph.node("Mul", [sure, graph.node("Sub", [detection_onnx.number(graph, 1), doubt])])
        scores = graph.node("Mul", [graph.node("Sigmoid", [part(end + 1, end + 1 + p.num_classes)]), sure])
        found = graph.node("Reshape", [found, ints(graph, 0, count, 4)])
        return found, graph.node("Reshape", [scores, ints(graph, 0, count, p.num_classes)])
