"""PriorBox: the boxes that SSD predicts from, laid over a feature map."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caffe_port.layers.base import Layer, OnnxGraph, Shape, register


@register()
class PriorBox(Layer):
    """Boxes of several sizes and aspect ratios around the centre of every pixel of a feature map.

    Bottoms: the feature map (N, C, h, w) and the image (N, C', H, W), of which only the sizes count. Top: (1, 2,
    h * w * priors * 4): the corners xmin, ymin, xmax, ymax as shares of the image, and the variances of the four.
    Around each pixel, for each `min_size` s: the square of s; with `max_size` m the square of sqrt(s m); and s sqrt(r)
    by s / sqrt(r) for each aspect ratio r (and 1/r with `flip`) that is not 1. Sizes are cut to whole pixels. Centres:
    (index + `offset`) * step, where the step is the image's size over the map's unless given; TextBoxes' offset_h and
    offset_w make every box once for each pair of them. `variance`: none (0.1), one for all four, or four. `img_size`,
    or `img_h` and `img_w`, take the place of the image's size.

    No gradient. Raises for sizes that are missing, not positive or not in pairs, and for options given twice or by
    halves. Source: prior_box_layer.cpp of SSD (Liu et al., 2016, section 2.2).
    """

    origin = "SSD"
    bottoms = (2, 2)
    differentiable_bottoms = ()

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.prior_box_param
        if not p.min_size or min(p.min_size) <= 0:
            raise self.error("give at least one min_size, all of them positive")
        if p.max_size and len(p.max_size) != len(p.min_size):
            raise self.error(f"{len(p.max_size)} max_size for {len(p.min_size)} min_size; give one for each, or none")
        for least, most in zip(p.min_size, p.max_size, strict=False):
            if most <= least:
                raise self.error(f"max_size {most:g} must be greater than its min_size {least:g}")
        if any(ratio <= 0 for ratio in p.aspect_ratio):
            raise self.error("aspect_ratio must be positive")
        if len(p.variance) not in (0, 1, 4) or any(v <= 0 for v in p.variance):
            raise self.error(f"variance must be given once or four times, and be positive, not {list(p.variance)}")
        for one, both in (("img_size", ("img_h", "img_w")), ("step", ("step_h", "step_w"))):
            halves = [p.HasField(field) for field in both]
            if any(halves) and (p.HasField(one) or not all(halves)):
                raise self.error(f"give {one}, or {both[0]} and {both[1]}")
            if any(p.HasField(field) and getattr(p, field) <= 0 for field in (one, *both)):
                raise self.error(f"{one}, {both[0]} and {both[1]} must be positive")
        if len(p.offset_h) != len(p.offset_w) or (p.offset_h and p.HasField("offset")):
            raise self.error("give offset, or as many offset_h as offset_w")
        self.sizes = self.box_sizes()

    def ratios(self) -> list[float]:
        """Aspect ratios other than 1, each once."""
        p = self.param.prior_box_param
        found = [1.0]
        for ratio in p.aspect_ratio:
            if all(abs(ratio - other) >= 1e-6 for other in found):
                found += [ratio, 1 / ratio] if p.flip else [ratio]
        return found[1:]

    def box_sizes(self) -> np.ndarray:
        """(priors, 2): width and height in pixels of the boxes of one pixel, each as often as there are offsets."""
        p, sizes = self.param.prior_box_param, []
        for i, least in enumerate(map(int, p.min_size)):
            sizes.append((least, least))
            if p.max_size:
                sizes.append((np.sqrt(least * int(p.max_size[i])),) * 2)
            sizes += [(least * np.sqrt(ratio), least / np.sqrt(ratio)) for ratio in self.ratios()]
        return np.array(sizes, np.float64).repeat(len(self.offsets()), 0)

    def offsets(self) -> np.ndarray:
        """(centres, 2): x and y of the centres of one pixel's boxes, in steps."""
        p = self.param.prior_box_param
        return np.array([p.offset_w, p.offset_h]).T if p.offset_h else np.array([[p.offset, p.offset]])

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        for name, shape in zip(("feature map", "image"), bottom_shapes, strict=True):
            if len(shape) != 4:
                raise self.shape_error(f"the {name} must have 4 axes (num, channels, height, width), not {shape}")
        count = bottom_shapes[0][2] * bottom_shapes[0][3] * len(self.sizes) * 4
        if not count:
            raise self.shape_error(f"a feature map of {bottom_shapes[0]} has no place for boxes")
        return [(1, 2, count)]

    def priors(self, layer: Shape, image: Shape) -> list[np.ndarray]:
        """The top, in float64, for the sizes (height, width) of the feature map and of the image."""
        p = self.param.prior_box_param
        if p.HasField("img_size"):
            image = (p.img_size, p.img_size)
        elif p.HasField("img_h"):
            image = (p.img_h, p.img_w)
        if p.HasField("step"):
            step: tuple[float, float] = (p.step, p.step)
        elif p.HasField("step_h"):
            step = (p.step_h, p.step_w)
        else:
            step = (image[0] / layer[0], image[1] / layer[1])
        y, x = np.meshgrid(np.arange(layer[0]), np.arange(layer[1]), indexing="ij")
        centres = (np.stack([x, y], -1)[:, :, None] + self.offsets()) * [step[1], step[0]]  # (h, w, centres, 2)
        centres = np.tile(centres, (1, 1, len(self.sizes) // len(self.offsets()), 1))
        corners = np.concatenate([centres - self.sizes / 2, centres + self.sizes / 2], -1)
        corners /= np.array([image[1], image[0]] * 2)
        if p.clip:
            corners = corners.clip(0, 1)
        variance = np.broadcast_to(np.array(list(p.variance) or [0.1]), corners.shape)
        return [np.stack([corners.ravel(), variance.ravel()])[None]]

    def forward(self, layer: Tensor, image: Tensor) -> Tensor:
        (priors,) = self.made_once(layer, self.priors, tuple(layer.shape[2:]), tuple(image.shape[2:]))
        return priors.clone()  # the top is the caller's

    def reads_values(self, bottom: int) -> bool:
        return False

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        (priors,) = self.priors(graph.shape(bottoms[0])[2:], graph.shape(bottoms[1])[2:])
        graph.node("Identity", [graph.const(priors, "priors")], tops)
