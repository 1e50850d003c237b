"""How layers that end in a list of detections are written in ONNX, around NonMaxSuppression.

Detections on their way are `kept`: (M, 3) of int64, (image, class, box), by image, class and falling score, which is
the order in which onnxruntime selects them. ONNX's overlap is that of boxes.overlaps, except that it turns inverted
boxes around.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_port.layers import boxes
from caffe_port.layers.base import Layer

FLOAT, INT64, BOOL = 1, 7, 9
LEAST = float(np.finfo(np.float32).min)


def ints(graph: Any, *values: int) -> str:
    return graph.const(np.array(values, np.int64), "ints")


def number(graph: Any, value: float) -> str:
    return graph.const(np.array(value, np.float32), "number")


def reshape(graph: Any, value: str, *shape: int) -> str:
    return graph.node("Reshape", [value, ints(graph, *shape)])


def last(graph: Any, value: str, start: int, end: int) -> str:
    """value[..., start:end]"""
    return graph.node("Slice", [value, ints(graph, start), ints(graph, end), ints(graph, -1)])


def filled(graph: Any, like: str, value: float) -> str:
    return graph.node("Expand", [number(graph, value), graph.node("Shape", [like])])


def decode(graph: Any, offsets: str, priors: str, variances: str | None, code: int) -> str:
    """boxes.decode"""
    if variances is not None:
        offsets = graph.node("Mul", [offsets, variances])
    if code == boxes.CORNER:
        return graph.node("Add", [priors, offsets])
    low, high = last(graph, priors, 0, 2), last(graph, priors, 2, 4)
    size = graph.node("Sub", [high, low])
    if code == boxes.CORNER_SIZE:
        sizes = graph.node("Concat", [size, size], axis=-1)
        return graph.node("Add", [priors, graph.node("Mul", [offsets, sizes])])
    half = number(graph, 0.5)
    middle = graph.node("Mul", [graph.node("Add", [low, high]), half])
    centre = graph.node("Add", [graph.node("Mul", [last(graph, offsets, 0, 2), size]), middle])
    spans = graph.node("Mul", [graph.node("Exp", [last(graph, offsets, 2, 4)]), graph.node("Mul", [size, half])])
    return graph.node("Concat", [graph.node("Sub", [centre, spans]), graph.node("Add", [centre, spans])], axis=-1)


def ssd_predictions(graph: Any, layer: Layer, bottoms: list[str], priors: int) -> tuple[str, str]:
    """Boxes (N, P, 4), or (N, classes, P, 4) without share_location, and scores (N, classes, P); no background."""
    p = layer.param.detection_output_param
    classes = [c for c in range(p.num_classes) if c != p.background_label_id]
    wanted = ints(graph, *classes)
    prior = reshape(graph, bottoms[2], 2, priors, 4)
    mean, variance = (graph.node("Gather", [prior, graph.const(np.array(i, np.int64), "row")], axis=0) for i in (0, 1))
    if p.share_location:
        offsets = reshape(graph, bottoms[0], 0, priors, 4)
    else:
        by_prior = reshape(graph, bottoms[0], 0, priors, p.num_classes, 4)
        by_class = graph.node("Transpose", [by_prior], perm=[0, 2, 1, 3])
        offsets = graph.node("Gather", [by_class, wanted], axis=1)
    found = decode(graph, offsets, mean, None if p.variance_encoded_in_target else variance, p.code_type)
    scores = graph.node("Transpose", [reshape(graph, bottoms[1], 0, priors, p.num_classes)], perm=[0, 2, 1])
    return found, graph.node("Gather", [scores, wanted], axis=1)


def only_best(graph: Any, scores: str, count: int) -> str:
    """scores (N, classes, P) with all but the `count` best of each class at the least float."""
    nothing = filled(graph, scores, LEAST)
    if not count:
        return nothing
    values, places = graph.node("TopK", [scores, ints(graph, count)], 2, axis=2)
    return graph.node("ScatterElements", [nothing, places, values], axis=2)


def suppress(
    graph: Any, found: str, scores: str, most: int, overlap: float, score: float, classes: int = 0, upright: bool = True
) -> str:
    """`kept` of boxes (N, P, 4), or (N, classes, P, 4) where `classes` is given, and scores (N, C, P).

    At most `most` a class. `upright` False: some boxes may be inverted, and have no area.
    """
    if not upright:
        spans = graph.node("Sub", [last(graph, found, 2, 4), last(graph, found, 0, 2)])
        least = graph.node("ReduceMin", [spans], axes=[-1], keepdims=1)
        found = graph.node("Where", [graph.node("Less", [least, number(graph, 0)]), number(graph, 0), found])
    if classes:
        found = graph.node("Reshape", [found, graph.node("Concat", [ints(graph, -1), tail(graph, found)], axis=0)])
        scores = graph.node(
            "Reshape", [scores, graph.node("Concat", [ints(graph, -1, 1), tail(graph, scores)], axis=0)]
        )
    limits = [graph.const(np.array([limit], np.float32), "limit") for limit in (min(overlap, 1), score)]
    kept = graph.node("NonMaxSuppression", [found, scores, ints(graph, most), *limits])
    if not classes:
        return kept
    row, box = (graph.node("Gather", [kept, ints(graph, i)], axis=1) for i in (0, 2))
    count = ints(graph, classes)
    return graph.node("Concat", [graph.node("Div", [row, count]), graph.node("Mod", [row, count]), box], axis=1)


def tail(graph: Any, value: str) -> str:
    """The shape of `value` from axis 2 on."""
    return graph.node("Shape", [value], start=2)


def best_of_image(graph: Any, kept: str, scores: str, count: int, places: int) -> str:
    """`kept` with the `count` best of each image only; `places`: classes times boxes."""
    if not count:
        return graph.node("Slice", [kept, ints(graph, 0), ints(graph, 0), ints(graph, 0)])
    picked = graph.node("GatherND", [scores, kept])
    dense = graph.node("ScatterND", [filled(graph, scores, LEAST), kept, picked])
    flat = reshape(graph, dense, 0, -1)
    values, best = graph.node("TopK", [flat, ints(graph, min(count, places))], 2, axis=1)
    real = graph.node("Cast", [graph.node("Greater", [values, number(graph, LEAST)])], to=FLOAT)
    marks = graph.node("ScatterElements", [filled(graph, flat, 0), best, real], axis=1)
    marks = graph.node("Reshape", [marks, graph.node("Shape", [scores])])
    chosen = graph.node("Cast", [graph.node("GatherND", [marks, kept])], to=BOOL)
    return graph.node("Compress", [kept, chosen], axis=0)


def parts(graph: Any, kept: str, found: str, scores: str, each_class: bool = False) -> tuple[str, str, str]:
    """Of `kept`: images and scores (M, 1), and corners (M, 4) of the boxes `found`, one or one a class."""
    image, box = (graph.node("Gather", [kept, ints(graph, *columns)], axis=1) for columns in ((0,), (0, 2)))
    score = graph.node("Unsqueeze", [graph.node("GatherND", [scores, kept]), ints(graph, 1)])
    corners = graph.node("GatherND", [found, kept if each_class else box])
    return graph.node("Cast", [image], to=FLOAT), score, corners


def rows(
    graph: Any, kept: str, found: str, scores: str, labels: str, tops: list[str], each_class: bool = False
) -> None:
    """The top (1, 1, M, 7) of `kept`, of boxes, scores and labels (M, 1), or rows that say that there is nothing."""
    image, score, corners = parts(graph, kept, found, scores, each_class)
    full = graph.node("Concat", [image, labels, score, corners], axis=1)
    images, count = (graph.node("Shape", [value], start=0, end=1) for value in (scores, kept))
    none = graph.node("Cast", [graph.node("Equal", [count, ints(graph, 0)])], to=INT64)
    lacking = graph.node("Squeeze", [graph.node("Mul", [images, none])])
    zero, one = (graph.const(np.array(i, np.int64), "step") for i in (0, 1))
    numbers = graph.node("Cast", [graph.node("Range", [zero, lacking, one])], to=FLOAT)
    numbers = graph.node("Unsqueeze", [numbers, ints(graph, 1)])
    nothing = graph.node("Pad", [numbers, ints(graph, 0, 0, 0, 6), number(graph, -1)])
    graph.node("Unsqueeze", [graph.node("Concat", [full, nothing], axis=0), ints(graph, 0, 1)], tops)


def class_names(graph: Any, kept: str, classes: list[int]) -> str:
    """(M, 1): the label of each detection's class."""
    names = graph.const(np.array(classes, np.float32), "classes")
    return graph.node("Gather", [names, graph.node("Gather", [kept, ints(graph, 1)], axis=1)])
