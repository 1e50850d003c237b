"""How BoxOutput and BoxGroupOutput are written in ONNX: suggested_boxes.py with other means.

Places are laid out as (images, boxes, 2 or 4) and scores as (images, 1, boxes), boxes that do not count at the least
float.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe_port.layers import detection_onnx, suggested_boxes
from caffe_port.layers.base import Layer, Shape
from caffe_port.layers.detection_onnx import LEAST, ints, number


def spread(
    graph: Any, layer: Layer, p: Any, offsets: str, shape: Shape, fields: Sequence[tuple[float, float]], stride: int
) -> tuple[str, str]:
    """suggested_boxes.spread of `offsets` (images * fields, 4, height, width), of which `shape` gives the last two."""
    height, width = shape[-2:]
    by_box = graph.node("Reshape", [offsets, ints(graph, -1, len(fields), 4, height * width)])
    by_box = graph.node("Transpose", [by_box], perm=[0, 1, 3, 2])
    moves = graph.node("Reshape", [by_box, ints(graph, -1, len(fields) * height * width, 4)])
    mean, deviation = (np.array(v, np.float32) for v in suggested_boxes.normalisation(layer))
    if (deviation != 1).any():
        moves = graph.node("Mul", [moves, graph.const(deviation, "deviation")])
    if mean.any():
        moves = graph.node("Add", [moves, graph.const(mean, "mean")])
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    middle = (np.tile(np.stack([columns, rows], -1).reshape(-1, 2), (len(fields), 1)) + 0.5) * stride
    field = graph.const(np.repeat(np.array(fields, np.float32), height * width, 0), "fields")
    place, grow = graph.node("Split", [moves, ints(graph, 2, 2)], 2, axis=2)
    place, grow = (
        graph.node("Clip", [value, number(graph, -most), number(graph, most)])
        for value, most in ((place, 1 / p.field_xyr), (grow, math.log(p.field_whr)))
    )
    size = graph.node("Mul", [graph.node("Exp", [grow]), field])
    centre = graph.node("Add", [graph.node("Mul", [place, field]), graph.const(middle, "middles")])
    return graph.node("Sub", [centre, graph.node("Mul", [size, number(graph, 0.5)])]), size


def numbers_only(graph: Any, scores: str, values: str) -> str:
    """`scores` (n, 1, height, width), none where a channel of `values` is NaN, which Clip and the like lose."""
    lost = graph.node("Cast", [graph.node("IsNaN", [values])], to=detection_onnx.FLOAT)
    lost = graph.node("Cast", [graph.node("ReduceMax", [lost], axes=[1], keepdims=1)], to=detection_onnx.BOOL)
    return str(graph.node("Where", [lost, number(graph, LEAST), scores]))


def fitting(graph: Any, p: Any, scores: str, size: str) -> str:
    """Scores of boxes that reach fg_thr and are nowhere shorter than min_size."""
    shortest = graph.node("ReduceMin", [size], axes=[2], keepdims=0)
    long = graph.node(
        "GreaterOrEqual", [graph.node("Unsqueeze", [shortest, ints(graph, 1)]), number(graph, p.min_size)]
    )
    sure = graph.node("GreaterOrEqual", [scores, number(graph, p.fg_thr)])
    return graph.node("Where", [graph.node("And", [sure, long]), scores, number(graph, LEAST)])


def best(graph: Any, p: Any, found: str, scores: str, count: int, pixels: int) -> str:
    """suggested_boxes.best of `count` boxes: `kept` (see detection_onnx.py)."""
    ranked = detection_onnx.only_best(graph, scores, p.max_nms_num) if 0 < p.max_nms_num < count else scores
    # Less than no overlap is too much for every other box.
    most = 1 if p.iou_thr < 0 else min(p.max_post_nms_num or count, count)
    if p.nms_type == "IOU" and not pixels:
        # Its overlap is the same, but that it turns inverted boxes round, which a negative min_size lets through.
        return detection_onnx.suppress(graph, found, ranked, most, max(p.iou_thr, 0), LEAST, upright=p.min_size >= 0)
    return _one_by_one(graph, p, found, ranked, count, most, pixels)


def _one_by_one(graph: Any, p: Any, found: str, scores: str, count: int, most: int, pixels: int) -> str:
    """By an overlap that NonMaxSuppression does not know: each round takes every image's best box that is left."""
    places, least = graph.const(np.arange(count), "places"), number(graph, LEAST)
    turned = graph.node("Transpose", [found], perm=[0, 2, 1])
    boxes = _sides(graph, turned)
    areas = _area(graph, boxes, pixels)

    def take(left: str) -> list[str]:
        score, place = graph.node("TopK", [left, ints(graph, 1)], 2, axis=2)
        one = graph.node("GatherElements", [turned, graph.node("Tile", [place, ints(graph, 1, 4, 1)])], axis=2)
        much = _too_much(graph, p, _sides(graph, one), boxes, areas, pixels)
        gone = graph.node("Or", [much, graph.node("Equal", [places, place])])
        still = graph.node("Where", [gone, least, left])
        greatest = graph.node("ReduceMax", [still], axes=[0, 1, 2], keepdims=0)
        return [graph.node("Greater", [greatest, least]), still, score, place]

    rounds = graph.const(np.array(most, np.int64), "rounds")
    _, *taken = graph.loop(rounds, scores, take)
    score, place = (  # (images, rounds)
        graph.node("Transpose", [graph.node("Squeeze", [value, ints(graph, 2, 3)])], perm=[1, 0]) for value in taken
    )
    # An image that has no box left takes one that does not count while others go on.
    real = graph.node("Transpose", [graph.node("NonZero", [graph.node("Greater", [score, least])])], perm=[1, 0])
    image = graph.node("Gather", [real, ints(graph, 0)], axis=1)
    box = graph.node("Unsqueeze", [graph.node("GatherND", [place, real]), ints(graph, 1)])
    return str(graph.node("Concat", [image, graph.node("Mul", [image, ints(graph, 0)]), box], axis=1))


def _sides(graph: Any, boxes: str) -> list[str]:
    """xmin, ymin, xmax, ymax (images, 1, boxes) of boxes (images, 4, boxes)."""
    sides: list[str] = graph.node("Split", [boxes, ints(graph, 1, 1, 1, 1)], 4, axis=1)
    return sides


def _area(graph: Any, box: list[str], pixels: int) -> str:
    return _product(graph, [graph.node("Sub", [box[i + 2], box[i]]) for i in (0, 1)], pixels)


def _product(graph: Any, spans: list[str], pixels: int) -> str:
    return str(graph.node("Mul", [graph.node("Add", [span, number(graph, pixels)]) for span in spans]))


def _too_much(graph: Any, p: Any, one: list[str], others: list[str], areas: str, pixels: int) -> str:
    """Whether suggested_boxes.overlaps is more than an iou_thr that is not negative."""
    zero, own = number(graph, 0), _area(graph, one, pixels)
    wide, high = spans = [
        graph.node("Sub", [graph.node("Min", [one[i + 2], others[i + 2]]), graph.node("Max", [one[i], others[i]])])
        for i in (0, 1)
    ]
    both = _product(graph, spans, pixels)
    if p.nms_type == "IOU":
        by = graph.node("Sub", [graph.node("Add", [own, areas]), both])
    else:
        by = graph.node("Min", [own, areas]) if p.nms_type == "IOMU" else own
    touch = graph.node("GreaterOrEqual" if pixels else "Greater", [wide, zero])
    much = graph.node("Greater", [graph.node("Div", [both, by]), number(graph, p.iou_thr)])
    for more in (graph.node("Greater", [high, zero]), graph.node("Greater", [both, zero]), touch):
        much = graph.node("And", [much, more])
    return str(much)


def tops(graph: Any, kept: str, found: str, scores: str, names: list[str]) -> None:
    """suggested_boxes.tops"""
    image, score, corners = detection_onnx.parts(graph, kept, found, scores)
    nobody = graph.node("Equal", [graph.node("Shape", [kept], start=0, end=1), ints(graph, 0)])
    for name, parts, nothing in zip(
        names, ([image, corners], [image, corners, score]), ([0, 1, 1, 10, 10], [0] * 6), strict=False
    ):
        row = graph.const(np.array([nothing], np.float32), "nothing")
        every = [graph.node("Concat", parts, axis=1), graph.node("Compress", [row, nobody], axis=0)]
        graph.node("Unsqueeze", [graph.node("Concat", every, axis=0), ints(graph, 2, 3)], [name])
