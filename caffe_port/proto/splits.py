"""A blob that several layers read is given out by a Split layer, one copy a reader, so that each reader's diff has a
place.

Where the behaviour comes from: src/caffe/util/insert_splits.cpp; names and order are Caffe's, since weights, logs and
pycaffe show them. A loss weight on the blob counts as one more reader: it moves to the split's first top, and the
layer's own weights are cleared (all of them, as in Caffe: a loss layer then reports its loss a second time with the
default weight 1).
"""

from __future__ import annotations

import difflib
from typing import Any

from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2

Place = tuple[int, int]  # (layer, top)


def insert_splits(param: Any) -> Any:
    """A copy of the filtered net with its Split layers. Raises NetError for a bottom that no layer above makes."""
    maker: dict[str, Place] = {}
    source: dict[tuple[int, int], Place] = {}  # (layer, bottom) -> the top it reads
    readers: dict[Place, int] = {}
    weights: dict[Place, float] = {}
    for i, layer in enumerate(param.layer):
        for j, bottom in enumerate(layer.bottom):
            if bottom not in maker:
                raise NetError(unknown_bottom(param, i, j, maker))
            source[i, j] = maker[bottom]
            readers[maker[bottom]] = readers.get(maker[bottom], 0) + 1
        for j, top in enumerate(layer.top):
            maker[top] = (i, j)
        for weight, top in zip(layer.loss_weight, layer.top, strict=False):
            weights[maker[top]] = weight
            if weight:
                readers[maker[top]] = readers.get(maker[top], 0) + 1

    split = caffe_pb2.NetParameter()
    split.CopyFrom(param)
    split.ClearField("layer")
    given: dict[Place, int] = {}  # copies of a blob handed out so far
    for i, old in enumerate(param.layer):
        layer = split.layer.add()
        layer.CopyFrom(old)
        for j, bottom in enumerate(old.bottom):
            place = source[i, j]
            if readers[place] > 1:
                k = given.get(place, 0)
                given[place] = k + 1
                layer.bottom[j] = f"{split_name(param.layer[place[0]].name, bottom, place[1])}_{k}"
        for j, top in enumerate(old.top):
            count = readers.get((i, j), 0)
            if count > 1:
                name = split_name(old.name, top, j)
                weight = weights.get((i, j), 0.0)
                new = split.layer.add(name=name, type="Split", bottom=[top], top=[f"{name}_{k}" for k in range(count)])
                if weight:
                    new.loss_weight.extend([weight] + [0.0] * (count - 1))
                    layer.ClearField("loss_weight")
                    given[i, j] = given.get((i, j), 0) + 1
    return split


def split_name(layer: str, blob: str, top: int) -> str:
    return f"{blob}_{layer}_{top}_split"


def unknown_bottom(param: Any, i: int, j: int, maker: dict[str, Place]) -> str:
    """The message for a bottom that nobody makes: Caffe's words, and what may have been meant."""
    layer, bottom = param.layer[i], param.layer[i].bottom[j]
    message = f"Unknown bottom blob '{bottom}' (layer '{layer.name}', bottom index {j})"
    later = next((other.name for other in param.layer[i:] if bottom in other.top), None)
    if later is not None:
        return f"{message}; layer '{later}' makes it, but only afterwards: move that layer up"
    near = difflib.get_close_matches(bottom, list(maker), n=1)
    if near:
        return f"{message}; did you mean '{near[0]}'?"
    return f"{message}; no layer makes it in this phase (there is {', '.join(list(maker)[-12:]) or 'no blob at all'})"
