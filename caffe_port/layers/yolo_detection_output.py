"""YoloDetectionOutput: YOLOv2's predictions turned into a list of detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import detection_onnx, yolo
from caffe_port.layers.base import Layer, Shape, register


@register()
class YoloDetectionOutput(Layer):
    """Boxes around every pixel, each with its likeliest class; suppression over all classes together.

    Bottoms: one or more feature maps (N, B * (5 + C), h, w), B = `num_box`, C = `num_classes`: for each box x, y, w, h,
    object, classes. Top: (1, 1, M, 7): image, class + 1, score, xmin, ymin, xmax, ymax as shares of the image, by image
    and falling score. The centre is (column + sigmoid(x)) / width of the map, the width exp(w) * bias / width, and the
    same for y and h, with two `biases` a box; the score is sigmoid(object) times the greatest softmax of the classes.
    Boxes with at least `confidence_threshold`, best first; those that overlap a better one by `nms_threshold` or more
    are dropped. Where no image has any, M is N, each row its image's number and six times -1.

    M depends on the values: the shape rule says 1, as the original does. No gradient. Images are kept apart; the
    original takes a batch for one image. `side` is not read, `label_map_file` is only for its log. Raises where biases
    or channels do not fit. Source: yolo_detection_output_layer.cpp of MobileNet-YOLO (Redmon and Farhadi, 2016).
    """

    origin = "MobileNet-YOLO"
    bottoms = (1, None)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.yolo_detection_output_param
        if not p.HasField("num_classes") or not p.num_classes or not p.num_box:
            raise self.error("give num_classes, and make it and num_box positive")
        if p.coords != 4:
            raise self.unsupported(f"boxes of {p.coords} coordinates; there are 4")
        if len(p.biases) < 2 * p.num_box:
            raise self.error(f"{p.num_box} boxes want {2 * p.num_box} biases, there are {len(p.biases)}")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        p = self.param.yolo_detection_output_param
        wanted = p.num_box * (5 + p.num_classes)
        for shape in bottom_shapes:
            if len(shape) != 4 or shape[1] != wanted or shape[0] != bottom_shapes[0][0]:
                raise self.shape_error(f"bottoms must be (N, {wanted}, height, width) with one N, not {shape}")
        return [(1, 1, 1, 7)]

    def forward(self, *bottoms: Tensor) -> Tensor:
        p = self.param.yolo_detection_output_param
        with torch.no_grad():
            found = [self.predictions(x) for x in bottoms]
            corners, scores, labels = (torch.cat(part, 1) for part in zip(*found, strict=True))
            return yolo.rows(corners, scores, labels, scores >= p.confidence_threshold, p.nms_threshold)

    def predictions(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corners (N, h * w * B, 4), scores and labels."""
        p = self.param.yolo_detection_output_param
        n, _, h, w = x.shape
        x = x.reshape(n, p.num_box, 5 + p.num_classes, h * w).permute(0, 3, 1, 2)
        place, size, biases = self.made_once(x, self.frame, h, w)
        corners = yolo.corners((x[..., :2].sigmoid() + place) / size, x[..., 2:4].exp() * (biases / size))
        likely, label = x[..., 5:].softmax(-1).max(-1)
        return corners.flatten(1, 2), (x[..., 4].sigmoid() * likely).flatten(1), label.flatten(1) + 1

    def frame(self, height: int, width: int) -> list[np.ndarray]:
        """The pixels' places (h * w, 1, 2), width and height of the map, and the boxes' biases (B, 2)."""
        p = self.param.yolo_detection_output_param
        biases = np.array(p.biases[: 2 * p.num_box], np.float64).reshape(-1, 2)
        return [yolo.grid(height, width)[:, None], np.array([width, height], np.float64), biases]

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.yolo_detection_output_param
        parts = [self.onnx_predictions(graph, x) for x in bottoms]
        found, scores, labels = (
            graph.node("Concat", list(part), axis=1) if len(part) > 1 else part[0] for part in zip(*parts, strict=True)
        )
        count = sum(graph.shape(x)[2] * graph.shape(x)[3] * p.num_box for x in bottoms)
        ranked = graph.node("Unsqueeze", [scores, detection_onnx.ints(graph, 1)])
        least = float(np.nextafter(np.float32(p.confidence_threshold), np.float32(-1)))
        kept = yolo.onnx_suppress(graph, found, ranked, count, p.nms_threshold, least)
        at = graph.node("Gather", [kept, detection_onnx.ints(graph, 0, 2)], axis=1)
        label = graph.node("Cast", [graph.node("GatherND", [labels, at])], to=detection_onnx.FLOAT)
        label = graph.node("Unsqueeze", [label, detection_onnx.ints(graph, 1)])
        label = graph.node("Add", [label, detection_onnx.number(graph, 1)])
        detection_onnx.rows(graph, kept, found, ranked, label, tops)

    def onnx_predictions(self, graph: Any, bottom: str) -> tuple[str, str, str]:
        p, ints = self.param.yolo_detection_output_param, detection_onnx.ints
        (_, _, h, w), places = graph.shape(bottom), detection_onnx.last
        count = h * w * p.num_box
        x = graph.node("Reshape", [bottom, ints(graph, 0, p.num_box, 5 + p.num_classes, h * w)])
        x = graph.node("Transpose", [x], perm=[0, 3, 1, 2])
        place, size, biases = self.frame(h, w)
        moved = graph.node("Add", [graph.node("Sigmoid", [places(graph, x, 0, 2)]), graph.const(place, "places")])
        centre = graph.node("Div", [moved, graph.const(size, "size")])
        grown = graph.node("Mul", [graph.node("Exp", [places(graph, x, 2, 4)]), graph.const(biases / size, "biases")])
        found = graph.node("Reshape", [yolo.onnx_corners(graph, centre, grown), ints(graph, 0, count, 4)])
        chances = graph.node("Softmax", [places(graph, x, 5, 5 + p.num_classes)], axis=-1)
        likely = graph.node("ReduceMax", [chances], axes=[-1], keepdims=1)
        scores = graph.node("Mul", [graph.node("Sigmoid", [places(graph, x, 4, 5)]), likely])
        label = graph.node("ArgMax", [chances], axis=-1, keepdims=0)
        return found, *(graph.node("Reshape", [value, ints(graph, 0, count)]) for value in (scores, label))
