"""DetectionOutput: SSD's predictions turned into a list of detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import log
from caffe_port.layers import boxes, detection_onnx
from caffe_port.layers.base import Layer, Shape, register

LEAST = float(np.finfo(np.float32).min)


@register()
class DetectionOutput(Layer):
    """The boxes that survive suppression, class by class: rows (image, class, score, xmin, ymin, xmax, ymax).

    Bottoms: locations (N, P * L * 4), L = 1 with `share_location`, else one set of offsets a class; scores (N, P * C),
    usually probabilities; priors (1, 2, P * 4) as PriorBox makes them; and optionally an image, which is not looked at.
    Top: (1, 1, M, 7), by image, then class, then falling score. For each image and class but `background_label_id`:
    scores above `confidence_threshold`, the best `nms_param.top_k` of them, suppression at `nms_threshold` (`eta`: see
    boxes.suppress); then the `keep_top_k` best of the image. Boxes are not clipped. Equal scores: the lower index
    first. Where no image has any detection M is N, each row its image's number and six times -1.

    M depends on the values: the shape rule says 1, as SSD does. No gradient. `save_output_param`, `visualize` and
    `save_file` are side effects, left out with a warning. Raises for sizes that do not fit and options out of range.
    Source: detection_output_layer.cpp and bbox_util.cpp of SSD (Liu et al., 2016).
    """

    origin = "SSD"
    bottoms = (3, 4)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.detection_output_param
        if not p.num_classes:
            raise self.error("give num_classes, the background included")
        if p.nms_param.nms_threshold < 0 or not 0 < p.nms_param.eta <= 1:
            raise self.error("nms_threshold must not be negative and eta must be in (0, 1]")
        effects = ("save_output_param", "visualize", "save_file")
        left_out = [name for name in effects if p.HasField(name) and getattr(p, name)]
        if left_out:
            names = " and ".join(left_out)
            log.warn("detection_output_layer.cpp:52", f"{self.title}: {names} left out; the top has all")
        self.threshold = p.confidence_threshold if p.HasField("confidence_threshold") else LEAST
        self.classes = [c for c in range(p.num_classes) if c != p.background_label_id]
        self.offsets = 1 if p.share_location else p.num_classes

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        locations, scores, priors = bottom_shapes[:3]
        classes = self.param.detection_output_param.num_classes
        boxes.count_priors(self, locations, scores, priors, classes, self.offsets)
        return [(1, 1, 1, 7)]

    def forward(self, *bottoms: Tensor) -> Tensor:
        with torch.no_grad():
            candidates, scores = self.predictions(*bottoms[:3])
            return self.rows(candidates, scores)

    def names(self) -> list[np.ndarray]:
        """(classes,): all classes but the background."""
        return [np.array(self.classes, np.int64)]

    def predictions(self, locations: Tensor, scores: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, 1 or classes, P, 4) and scores (N, classes, P) of all classes but the background."""
        p, n = self.param.detection_output_param, locations.shape[0]
        (names,) = self.made_once(scores, self.names)
        mean, variance = priors.reshape(2, -1, 4)
        found = locations.reshape(n, mean.shape[0], self.offsets, 4).transpose(1, 2)
        by_class = scores.reshape(n, mean.shape[0], p.num_classes).transpose(1, 2).index_select(1, names)
        if not p.share_location:
            found = found.index_select(1, names)
        return boxes.decode(found, mean, None if p.variance_encoded_in_target else variance, p.code_type), by_class

    def rows(self, candidates: Tensor, scores: Tensor) -> Tensor:
        p = self.param.detection_output_param
        n, classes, priors = scores.shape
        valid = scores > self.threshold
        length = int(valid.sum(-1).max()) if valid.numel() else 0
        if p.nms_param.HasField("top_k") and p.nms_param.top_k > -1:
            length = min(length, p.nms_param.top_k)
        # NaN scores are never valid and must not come first
        ranked, order = torch.where(valid, scores, -torch.inf).sort(dim=-1, descending=True, stable=True)
        ranked, order = ranked[..., :length], order[..., :length]
        corners = candidates.expand(n, classes, priors, 4).gather(2, order[..., None].expand(*order.shape, 4))
        keep = boxes.suppress(
            corners.flatten(0, 1), (ranked > self.threshold).flatten(0, 1), p.nms_param.nms_threshold, p.nms_param.eta
        ).view(n, classes, length)
        if p.keep_top_k > -1:
            best = torch.where(keep, ranked, -torch.inf).flatten(1).sort(dim=1, descending=True, stable=True).indices
            chosen = torch.zeros_like(keep).flatten(1).scatter_(1, best[:, : p.keep_top_k], True)
            keep &= chosen.view_as(keep)
        image, label, _ = keep.nonzero(as_tuple=True)
        if not len(image):
            nothing = scores.new_full((n, 7), -1)
            nothing[:, 0] = torch.arange(n, device=scores.device)
            return nothing[None, None]
        (names,) = self.made_once(scores, self.names)
        head = torch.stack([image.to(scores.dtype), names[label].to(scores.dtype), ranked[keep]], 1)
        return torch.cat([head, corners[keep]], 1)[None, None]

    def onnx(self, graph: Any, bottoms: list[str], tops: list[str]) -> None:
        p = self.param.detection_output_param
        if p.nms_param.eta < 1 and p.nms_param.nms_threshold > 0.5:
            raise self.unsupported("a threshold that shrinks (eta < 1) has no ONNX form")
        priors, shared = graph.shape(bottoms[2])[2] // 4, p.share_location
        found, scores = detection_onnx.ssd_predictions(graph, self, bottoms, priors)
        top_k = p.nms_param.top_k if p.nms_param.HasField("top_k") else -1
        ranked = detection_onnx.only_best(graph, scores, top_k) if 0 <= top_k < priors else scores
        kept = detection_onnx.suppress(
            graph,
            found,
            ranked,
            priors,
            p.nms_param.nms_threshold,
            self.threshold,
            classes=0 if shared else len(self.classes),
            upright=p.code_type == boxes.CENTER_SIZE,
        )
        if p.keep_top_k > -1:
            kept = detection_onnx.best_of_image(graph, kept, scores, p.keep_top_k, len(self.classes) * priors)
        labels = detection_onnx.class_names(graph, kept, self.classes)
        detection_onnx.rows(graph, kept, found, scores, labels, tops, each_class=not shared)
