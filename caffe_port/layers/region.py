"""Region: YOLOv2's predictions made probabilities."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers import detection_onnx, yolo
from caffe_port.layers.base import Layer, Shape, register


@register()
class Region(Layer):
    """Darknet's region layer, in the two forms that Caffes have.

    Bottom (N, B * (L + 1 + C), h, w): for each of B boxes L coordinates x, y, w, h, ..., then object, then C classes.

    With `region_param` (classes, coords, num): one top like the bottom, where x, y and object are sigmoids and the
    classes their softmax (`softmax: false`: as they were); the rest as it was. `anchors` are for whoever decodes it.

    With `region_loss_param` (num_class, coords, num, biases, thresh, softmax): tops boxes (B, h, w, 4): centre, width
    and height as shares of the image, (column + sigmoid(x)) / w and exp(w) * bias / w; and scores (B, h, w, C + 1): the
    classes' chances times sigmoid(object), 0 where not above `thresh`; last the greatest of them. One image only.

    No gradient, as in those Caffes. `side` must be the map's. Raises where channels or biases do not fit. Source:
    region_layer.cpp of OpenVINO's training Caffe and of zhangnju/caffe; forward_region_layer of Darknet (Redmon and
    Farhadi, 2016). OpenCV's Region takes another order of axes and decodes at once.
    """

    origin = "YOLOv2"
    tops: ClassVar[tuple[int, int | None]] = (1, 2)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        old = self.param.HasField("region_loss_param")
        if old and self.param.HasField("region_param"):
            raise self.error("give region_param or region_loss_param, not both")
        if old != (len(self.param.top) == 2):
            raise self.error("two tops go with region_loss_param, one with region_param")
        p = self.param.region_loss_param if old else self.param.region_param
        self.decodes, self.boxes, self.coordinates = old, p.num, p.coords
        self.classes: int = p.num_class if old else p.classes
        self.softmax = bool(p.softmax)
        if not self.boxes or not self.classes or self.coordinates < 4:
            raise self.error("num and the number of classes must be positive, coords at least 4")
        if old and len(p.biases) < 2 * p.num:
            raise self.error(f"{p.num} boxes want {2 * p.num} biases, there are {len(p.biases)}")
        if old and p.coords != 4:
            raise self.unsupported(f"boxes of {p.coords} coordinates; there are 4")

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        shape, each = bottom_shapes[0], self.coordinates + 1 + self.classes
        if len(shape) != 4 or shape[1] != self.boxes * each:
            raise self.shape_error(f"the bottom must be (N, {self.boxes} * {each}, height, width), not {shape}")
        if not self.decodes:
            return [shape]
        side = self.param.region_loss_param.side
        if shape[0] != 1 or shape[2:] != (side, side):
            raise self.shape_error(f"with region_loss_param it is one image's map of {side} x {side}, not {shape}")
        return [(self.boxes, *shape[2:], 4), (self.boxes, *shape[2:], self.classes + 1)]

    def parts(self, bottom: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Places, further coordinates, objects and classes: (N, B, so many, h, w)."""
        n, _, h, w = bottom.shape
        x = bottom.detach().reshape(n, self.boxes, bottom.shape[1] // self.boxes, h, w)
        place, rest, sure, classes = x.split([2, self.coordinates - 2, 1, self.classes], 2)
        return place.sigmoid(), rest, sure.sigmoid(), classes.softmax(2) if self.softmax else classes

    def frame(self, height: int, width: int) -> list[np.ndarray]:
        """The pixels' places (h, w, 2), width and height of the map, and the boxes' biases (B, 1, 1, 2)."""
        p = self.param.region_loss_param
        own = np.array(p.biases[: 2 * p.num], np.float64).reshape(-1, 1, 1, 2)
        return [yolo.grid(height, width).reshape(height, width, 2), np.array([width, height], np.float64), own]

    def forward(self, bottom: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        parts = self.parts(bottom)
        if not self.decodes:
            return torch.cat(parts, 2).reshape(bottom.shape)
        p, (h, w) = self.param.region_loss_param, bottom.shape[2:]
        place, size, sure, classes = (part[0].permute(0, 2, 3, 1) for part in parts)
        here, side, own = self.made_once(bottom, self.frame, h, w)
        scores = sure * classes
        scores = torch.cat([scores, scores.amax(-1, keepdim=True)], -1)
        found = torch.cat([(here + place) / side, size.exp() * own / side], -1)
        return found, torch.where(scores > p.thresh, scores, 0)

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        if self.decodes:
            self.onnx_decoded(graph, bottoms[0], tops)
            return
        ints, (_, _, h, w) = detection_onnx.ints, graph.shape(bottoms[0])
        x = graph.node("Reshape", [bottoms[0], ints(graph, 0, self.boxes, -1, h * w)])
        sizes = ints(graph, 2, self.coordinates - 2, 1, self.classes)
        place, rest, sure, classes = graph.node("Split", [x, sizes], 4, axis=2)
        chances = graph.node("Softmax", [classes], axis=2) if self.softmax else classes
        parts = [graph.node("Sigmoid", [place]), rest, graph.node("Sigmoid", [sure]), chances]
        shape = ints(graph, 0, self.boxes * (self.coordinates + 1 + self.classes), h, w)
        graph.node("Reshape", [graph.node("Concat", parts, axis=2), shape], tops)

    def onnx_decoded(self, graph: Any, bottom: str, tops: list[str]) -> None:
        p, ints, (_, _, h, w) = self.param.region_loss_param, detection_onnx.ints, graph.shape(bottom)
        x = graph.node("Reshape", [bottom, ints(graph, self.boxes, -1, h, w)])
        x = graph.node("Transpose", [x], perm=[0, 2, 3, 1])
        place, size, sure, classes = graph.node("Split", [x, ints(graph, 2, 2, 1, self.classes)], 4, axis=3)
        own = graph.const(np.array(p.biases[: 2 * p.num], np.float32).reshape(-1, 1, 1, 2), "biases")
        here = graph.const(yolo.grid(h, w).reshape(h, w, 2).astype(np.float32), "places")
        moved = graph.node("Add", [graph.node("Sigmoid", [place]), here])
        found = graph.node("Concat", [moved, graph.node("Mul", [graph.node("Exp", [size]), own])], axis=3)
        graph.node("Div", [found, graph.const(np.array([w, h, w, h], np.float32), "side")], tops[:1])
        chances = graph.node("Softmax", [classes], axis=3) if self.softmax else classes
        scores = graph.node("Mul", [chances, graph.node("Sigmoid", [sure])])
        scores = graph.node("Concat", [scores, graph.node("ReduceMax", [scores], axes=[3], keepdims=1)], axis=3)
        high = graph.node("Greater", [scores, detection_onnx.number(graph, p.thresh)])
        graph.node("Where", [high, scores, detection_onnx.number(graph, 0)], tops[1:])
