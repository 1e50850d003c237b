"""Inputs to compare engines on: random, repeatable, and of a kind that the layers reading them can take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from caffe_port.errors import ConvertError
from caffe_port.layers.base import Shape
from caffe_port.net import Net

MOST = 2**28
"""Numbers of a blob that a net is run with on a trial: 1 GiB."""
Draw = Callable[[np.random.Generator, Shape, Any, Net], np.ndarray]


def _below(limit: Callable[[Any, Net], int]) -> Draw:
    return lambda rng, shape, node, net: rng.integers(0, max(1, limit(node, net)), shape).astype(np.float32)


def _continues(rng: np.random.Generator, shape: Shape, node: Any, net: Net) -> np.ndarray:
    """A recurrent layer's second bottom: 0 where a sequence starts, else 1."""
    marks = (rng.random(shape) > 0.3).astype(np.float32)
    marks[:1] = 0
    return marks


def _selector(rng: np.random.Generator, shape: Shape, node: Any, net: Net) -> np.ndarray:
    """0 or 1 an item, at least one 1, so that something is kept."""
    chosen = (rng.random(shape) > 0.5).astype(np.float32)
    chosen[:1] = 1
    return chosen


def _boxes(rng: np.random.Generator, shape: Shape, node: Any, net: Net) -> np.ndarray:
    """Rows (image, x1, y1, x2, y2) inside the image that the scale of the layer implies."""
    images, _, height, width = node.bottoms[0].shape
    scale = getattr(getattr(node.param, "roi_pooling_param", None), "spatial_scale", 0) or 1.0
    rows = rng.random((int(np.prod(shape[:1])), 4)).astype(np.float32)
    size = np.array([width, height, width, height], np.float32) / scale
    low, high = np.minimum(rows[:, :2], rows[:, 2:]), np.maximum(rows[:, :2], rows[:, 2:])
    boxes = np.concatenate([rng.integers(0, images, (len(rows), 1)), np.concatenate([low, high], 1) * (size - 1)], 1)
    return boxes.astype(np.float32).reshape(shape)


SPECIAL: dict[tuple[str, int], Draw] = {
    ("Embed", 0): _below(lambda node, net: node.param.embed_param.input_dim),
    ("BatchReindex", 1): _below(lambda node, net: node.bottoms[0].shape[0]),
    ("Filter", -1): _selector,
    ("LSTM", 1): _continues,
    ("RNN", 1): _continues,
    ("ROIPooling", 1): _boxes,
    ("PSROIPooling", 1): _boxes,
}
"""(layer type, bottom) that cannot take any number. Everything else gets normal numbers."""


def random_inputs(
    net: Net, seed: int = 0, batch: int | None = None, shapes: Mapping[str, Shape] | None = None
) -> dict[str, np.ndarray]:
    """One array an input of `net`, of its shape or that in `shapes`; `batch` replaces the first dimension of all."""
    for id, value in net.graph.values.items():
        if math.prod(value.shape) > MOST:
            raise ConvertError(
                f"net '{net.name}': '{id}' would be {value.shape}, too large to run the net on a trial; "
                "give smaller inputs (--input data:1,3,224,224), or do without the check"
            )
    rng = np.random.default_rng(seed)
    inputs = {}
    for name in net.inputs:
        shape = (shapes or {}).get(name, net.graph.values[name].shape)
        if batch is not None and shape:
            shape = (batch, *shape[1:])
        draw, node = _reader(net, name)
        inputs[name] = draw(rng, shape, node, net) if draw else rng.standard_normal(shape, np.float32)
    return inputs


def _reader(net: Net, name: str) -> tuple[Draw | None, Any]:
    """How to draw the input `name`, by the layers that read it (through Splits and shape changes)."""
    same = {name}
    for node in net.graph.nodes:
        for i, bottom in enumerate(node.bottoms):
            if bottom.name not in same:
                continue
            if node.param.type in ("Split", "Reshape", "Flatten"):
                same.update(top.name for top in node.tops)
            for index in (i, i - len(node.bottoms)):
                if (node.param.type, index) in SPECIAL:
                    return SPECIAL[node.param.type, index], node
    return None, None


def check_inputs(net: Net, inputs: Mapping[str, Any]) -> None:
    """Every input of the net is there and no other (ValueError names them)."""
    if set(inputs) != set(net.inputs):
        raise ValueError(f"inputs wanted: {', '.join(net.inputs)}; given: {', '.join(inputs)}")
