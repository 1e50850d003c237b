"""Pictures with boxes: SSD's records, and what happens to a picture and its boxes together before the transformer.

Boxes are rows (label, instance, xmin, ymin, xmax, ymax, difficult), the corners as shares of the picture. In order: the
colours are distorted, the picture is laid on a larger one, a sampled part of it is cut out, and that is resized. What
is random is drawn from one generator a record.

Source: annotated_data_layer.cpp, sampler.cpp, im_transforms.cpp, data_transformer.cpp of SSD (Liu et al., 2016, section
2.2), and what MobileNet-YOLO added to them. SSD stores each stage's picture as a JPEG, which is not repeated here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from caffe_port.data import datum as datums
from caffe_port.data import image as images
from caffe_port.data.db import Db
from caffe_port.data.db_base import Buffer
from caffe_port.data.records import DbRecords
from caffe_port.errors import DataError
from caffe_port.proto import caffe_pb2

CORNERS = slice(2, 6)
WHOLE = np.array([0.0, 0.0, 1.0, 1.0])
BATCHES_A_SIZE = 10  # MobileNet-YOLO changes the size so often
_Resize, _Emit = caffe_pb2.ResizeParameter, caffe_pb2.EmitConstraint


def area(box: np.ndarray) -> np.ndarray:
    spans = box[..., 2:] - box[..., :2]
    return np.where((spans < 0).any(-1), 0, spans.prod(-1))


def shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The area that both cover."""
    spans = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.where((spans <= 0).any(-1), 0, spans.prod(-1))


def coverage(of: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Which share of `of` is covered."""
    both = shared(of, by)
    return both / np.where(both > 0, area(of), 1)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    both = shared(a, b)
    return both / np.where(both > 0, area(a) + area(b) - both, 1)


def seen_through(window: np.ndarray, boxes: np.ndarray, emit: Any = None) -> np.ndarray:
    """The boxes that a window (4,) of the picture shows, as shares of it, cut at its edges.

    `emit`, an EmitConstraint: only boxes whose centre the window has, or of which it shows more than emit_overlap.
    """
    corners = boxes[:, CORNERS]
    keep = ((corners[:, :2] < window[2:]) & (corners[:, 2:] > window[:2])).all(1)
    if emit is not None and emit.emit_type == _Emit.CENTER:
        centre = (corners[:, :2] + corners[:, 2:]) / 2
        keep &= ((centre >= window[:2]) & (centre <= window[2:])).all(1)
    elif emit is not None:
        keep &= coverage(corners, window) > emit.emit_overlap
    size = window[2:] - window[:2]
    moved = boxes.copy()
    moved[:, CORNERS] = ((corners - np.tile(window[:2], 2)) / np.tile(size, 2)).clip(0, 1)
    return moved[keep & (area(moved[:, CORNERS]) > 0)]


# -- parts of the picture ----------------------------------------------------------------------------------------------


def draw_part(sampler: Any, rng: np.random.Generator) -> np.ndarray:
    """A part of the unit square, of random area scale^2 and shape, at a random place."""
    scale = rng.uniform(sampler.min_scale, sampler.max_scale)
    ratio = rng.uniform(sampler.min_aspect_ratio, sampler.max_aspect_ratio)
    ratio = min(max(ratio, scale**2), 1 / scale**2)
    size = np.array([scale * np.sqrt(ratio), scale / np.sqrt(ratio)])
    corner = rng.uniform(0, np.maximum(1 - size, 1e-8))
    return np.concatenate([corner, corner + size])


def satisfies(part: np.ndarray, boxes: np.ndarray, limit: Any) -> bool:
    """Whether one of the boxes (G, 4) meets every bound of the SampleConstraint. Without bounds always."""
    measures = {
        "jaccard_overlap": overlap(part, boxes),
        "sample_coverage": coverage(part, boxes),
        "object_coverage": coverage(boxes, part),
    }
    good = np.ones(len(boxes), bool)
    bounded = False
    for name, value in measures.items():
        for side, within in (("min", np.greater_equal), ("max", np.less_equal)):
            if limit.HasField(f"{side}_{name}"):
                bounded = True
                good &= within(value, getattr(limit, f"{side}_{name}"))
    return not bounded or bool(good.any())


def sampled_parts(samplers: Any, boxes: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """What all batch samplers find, each at most max_sample in max_trials."""
    found = []
    for one in samplers:
        count = 0
        for _ in range(one.max_trials if one.use_original_image else 0):
            if one.HasField("max_sample") and count >= one.max_sample:
                break
            part = draw_part(one.sampler, rng)
            if satisfies(part, boxes, one.sample_constraint):
                found.append(part)
                count += 1
    return found


def jittered_part(jitter: float, square: bool, rng: np.random.Generator) -> np.ndarray:
    """MobileNet-YOLO's: in one of five cases everything; else at least 1 - jitter (in one of five, 1 - jitter / 2) of
    each side, of both the same if `square`."""
    case = rng.choice(3, p=[0.2, 0.2, 0.6])
    if case == 0:
        return WHOLE
    size = rng.uniform(1 - (jitter / 2 if case == 1 else jitter), 1, 2)
    if square:
        size[1] = size[0]
    corner = rng.uniform(0, 1 - size)
    return np.concatenate([corner, corner + size])


def cut_out(picture: np.ndarray, boxes: np.ndarray, part: np.ndarray, emit: Any) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture (height, width[, channels]) in whole pixels, and its boxes."""
    height, width = picture.shape[:2]
    part = part.clip(0, 1)
    left, top, right, bottom = part * [width, height, width, height]
    rows, columns = max(int(bottom - top), 1), max(int(right - left), 1)
    y, x = min(int(top), height - rows), min(int(left), width - columns)
    return picture[y : y + rows, x : x + columns], seen_through(part, boxes, emit)


def laid_on_more(
    picture: np.ndarray, boxes: np.ndarray, param: Any, mean: np.ndarray, emit: Any, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """With probability `prob`: the picture somewhere on one up to max_expand_ratio times as large, of the mean's colour
    (0 where there is none)."""
    if rng.random() > param.prob or abs(param.max_expand_ratio - 1) < 1e-2:
        return picture, boxes
    ratio = rng.uniform(1, param.max_expand_ratio)
    old = np.array(picture.shape[:2])
    new = (old * ratio).astype(int)
    y, x = np.floor(rng.uniform(0, new - old)).astype(int)
    larger = np.empty((*new, *picture.shape[2:]), picture.dtype)
    larger[:] = as_bytes(mean) if len(mean) else 0
    larger[y : y + old[0], x : x + old[1]] = picture
    height, width = old
    window = np.array([-x / width, -y / height, (new[1] - x) / width, (new[0] - y) / height])
    return larger, seen_through(window, boxes, emit)


# -- colours -----------------------------------------------------------------------------------------------------------


def as_bytes(values: np.ndarray) -> np.ndarray:
    """To the nearest byte."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def distorted(picture: np.ndarray, param: Any, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation, hue and the channels' order, each with its probability; in one of two cases
    contrast comes after hue. `picture`: bytes, (height, width, 3), blue first."""

    def drawn(name: str) -> bool:
        return rng.random() < getattr(param, f"{name}_prob")

    def brightness(x: np.ndarray) -> np.ndarray:
        return as_bytes(x + np.float32(rng.uniform(-param.brightness_delta, param.brightness_delta)))

    def contrast(x: np.ndarray) -> np.ndarray:
        return as_bytes(x * np.float32(rng.uniform(param.contrast_lower, param.contrast_upper)))

    def saturation(x: np.ndarray) -> np.ndarray:
        factor = rng.uniform(param.saturation_lower, param.saturation_upper)
        return in_hsv(x, 1, lambda plane: as_bytes(plane * np.float32(factor)))

    def hue(x: np.ndarray) -> np.ndarray:
        shift = rng.uniform(-param.hue_delta, param.hue_delta)
        return in_hsv(x, 0, lambda plane: as_bytes(plane + np.float32(shift)))

    def random_order(x: np.ndarray) -> np.ndarray:
        return x[..., rng.permutation(x.shape[-1])]

    steps = [brightness, contrast, saturation, hue, random_order]
    if rng.random() <= 0.5:
        steps.insert(3, steps.pop(1))
    for step in steps:
        if drawn(step.__name__):
            picture = step(picture)
    return picture


def in_hsv(picture: np.ndarray, plane: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`change` on one plane of hue (degrees / 2), saturation and value, as bytes; OpenCV's conversions."""
    cv2 = needed("distort_param's saturation and hue")
    planes = list(cv2.split(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2HSV)))
    planes[plane] = change(planes[plane])
    return cv2.cvtColor(cv2.merge(planes), cv2.COLOR_HSV2BGR)


def needed(what: str) -> Any:
    cv2 = images.opencv()
    if cv2 is None:
        raise DataError(f"{what} needs OpenCV: pip install caffe-port[opencv]")
    return cv2


# -- sizes -------------------------------------------------------------------------------------------------------------


def resized(
    picture: np.ndarray, boxes: np.ndarray, param: Any, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (height, width[, channels]) to the size of a ResizeParameter, and its boxes.

    WARP: just so. FIT_SMALL_SIZE: in its own proportions, the sides at least so long. FIT_LARGE_SIZE_AND_PAD: in its
    own proportions, at most so long, in the middle of the size wanted. `interp_mode`: one of them at random.
    """
    old, new = picture.shape[:2], (param.height, param.width)
    wide, wanted = old[1] / old[0], param.width / param.height
    if param.resize_mode != _Resize.WARP:
        by_width = (wide < wanted) == (param.resize_mode == _Resize.FIT_SMALL_SIZE)
        if wide == wanted:
            by_width = False
        new = (int(param.width / wide), param.width) if by_width else (param.height, int(wide * param.height))
    picture = _scaled(picture, *new, param, rng)
    if param.resize_mode != _Resize.FIT_LARGE_SIZE_AND_PAD:
        boxes = boxes.copy()
        boxes[:, CORNERS] = boxes[:, CORNERS].clip(0, 1)
        return picture, boxes
    spare = np.array([param.height, param.width]) - new
    before = spare // 2
    picture = _padded(picture, before, spare - before, param)
    # The boxes go by the exact proportions, not by the whole pixels.
    share = np.minimum([1, 1], [wanted / wide, wide / wanted])[::-1]  # of width and height
    moved = boxes.copy()
    corners = boxes[:, CORNERS].clip(0, 1) * np.tile(share, 2) + np.tile((1 - share) / 2, 2)
    moved[:, CORNERS] = corners
    return picture, moved


def _scaled(picture: np.ndarray, height: int, width: int, param: Any, rng: np.random.Generator) -> np.ndarray:
    mode = param.interp_mode[int(rng.integers(len(param.interp_mode)))] if param.interp_mode else _Resize.LINEAR
    if mode == _Resize.LINEAR:
        return images.resize(picture, height, width)
    name = _Resize.Interp_mode.Name(mode)
    cv2 = needed(f"interp_mode {name}")
    return cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=getattr(cv2, f"INTER_{name}"))


def _padded(picture: np.ndarray, before: np.ndarray, after: np.ndarray, param: Any) -> np.ndarray:
    around = [(int(b), int(a)) for b, a in zip(before, after, strict=True)] + [(0, 0)] * (picture.ndim - 2)
    if param.pad_mode != _Resize.CONSTANT:
        return np.pad(picture, around, "reflect" if param.pad_mode == _Resize.MIRRORED else "edge")
    channels = picture.shape[2] if picture.ndim == 3 else 1
    if len(param.pad_value) not in (0, 1, channels):
        raise DataError(f"{len(param.pad_value)} pad_value for {channels} channels; give one, or one a channel")
    made = np.pad(picture, around)
    inside = np.zeros(made.shape[:2], bool)
    inside[before[0] : made.shape[0] - after[0], before[1] : made.shape[1] - after[1]] = True
    made[~inside] = as_bytes(np.array(param.pad_value or [0]))
    return made


def jitter(annotated: Any) -> float:
    """MobileNet-YOLO's jitter: 0.3 in its own data, none in SSD's, unless told otherwise."""
    return annotated.yolo_data_jitter if annotated.HasField("yolo_data_jitter") or annotated.yolo_data_type else 0.0


def is_random(t: Any, annotated: Any) -> bool:
    """Whether anything here is drawn, by the layer's TransformationParameter and AnnotatedDataParameter."""
    return bool(
        t.HasField("distort_param") or t.HasField("expand_param") or len(t.resize_param) > 1 or jitter(annotated)
        or annotated.batch_sampler or any(len(one.interp_mode) > 1 for one in t.resize_param)
    )  # fmt: skip


# -- records -----------------------------------------------------------------------------------------------------------


class AnnotatedRecords(DbRecords):
    """Records of a database of AnnotatedDatum. A record's label is its boxes, or a number where it has no type.

    `transform`, `annotated`: the layer's TransformationParameter and AnnotatedDataParameter. `each`: the layer's batch
    size, for sizes that change from time to time. `rich`: whether records must have boxes (None: not asked).
    """

    def __init__(
        self,
        transform: Any,
        annotated: Any,
        seed: int,
        each: int,
        rich: bool | None,
        db: Db,
        labels: bool,
        color: Callable[[], bool | None],
        wrapped: Callable[[], None],
    ) -> None:
        self.transform, self.annotated, self.seed, self.each, self.rich = transform, annotated, seed, each, rich
        self.jitter = jitter(annotated)
        super().__init__(db, labels, color, wrapped)

    def next(self) -> Any:
        key, value = super().next()
        number = self.offset - 1
        batch = number // (self.each * self.stride[1])
        return key, value, np.random.default_rng([self.seed, 3, number]), self.policy(batch // BATCHES_A_SIZE)

    def take(self, count: int) -> list[Any]:
        return [self.next() for _ in range(count)]

    def policy(self, round_: int) -> int:
        """Which resize_param these batches use."""
        chances = [one.prob for one in self.transform.resize_param]
        if len(chances) < 2:
            return 0
        return int(
            np.random.default_rng([self.seed, 4, round_]).choice(len(chances), p=np.array(chances) / sum(chances))
        )

    def state(self) -> dict[str, Any]:
        return {**super().state(), "seed": self.seed}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.seed = state.get("seed", self.seed)

    def decode(self, record: Any) -> Any:
        _, value, rng, policy = record
        place = self.place(record)
        annotated = parse(value, place)
        array = datums.to_array(annotated.datum, place, self.color() if annotated.datum.encoded else None)
        rich = self.annotated.HasField("anno_type") or annotated.HasField("type")
        if self.rich is not None and rich != self.rich and self.labels:
            raise DataError(
                f"{place}: its annotation {'has a' if rich else 'lacks the'} type, the first record's not so"
            )
        boxes = boxes_of(annotated)
        if array.dtype != np.uint8:
            if is_random(self.transform, self.annotated) or self.transform.resize_param:
                raise DataError(f"{place}: it holds floats; sampling, distorting and resizing want bytes")
        else:
            picture = array[0] if len(array) == 1 else array.transpose(1, 2, 0)
            try:
                picture, boxes = self.prepared(picture, boxes, rng, policy)
            except DataError as e:
                raise DataError(f"{place}: {e}") from None
            array = datums.channels_first(picture)
        if not self.labels:
            return array, 0.0
        return array, boxes if rich else datums.label(annotated.datum, place)

    def prepared(
        self, picture: np.ndarray, boxes: np.ndarray, rng: np.random.Generator, policy: int
    ) -> tuple[np.ndarray, np.ndarray]:
        t = self.transform
        emit = t.emit_constraint if t.HasField("emit_constraint") else None
        if t.HasField("distort_param"):
            if picture.ndim < 3 or picture.shape[2] != 3:
                raise DataError("distort_param wants three channels; set force_color")
            picture = distorted(picture, t.distort_param, rng)
        if t.HasField("expand_param"):
            picture, boxes = laid_on_more(picture, boxes, t.expand_param, np.array(t.mean_value), emit, rng)
        resize = t.resize_param[policy] if t.resize_param else None
        if self.annotated.batch_sampler:
            parts = sampled_parts(self.annotated.batch_sampler, boxes[:, CORNERS], rng)
            if parts:
                picture, boxes = cut_out(picture, boxes, parts[int(rng.integers(len(parts)))], emit)
        elif self.jitter:
            square = resize is not None and resize.resize_mode == _Resize.FIT_LARGE_SIZE_AND_PAD
            picture, boxes = cut_out(picture, boxes, jittered_part(self.jitter, square, rng), emit)
        return (picture, boxes) if resize is None else resized(picture, boxes, resize, rng)


def parse(value: Buffer, place: object = "record") -> Any:
    """The AnnotatedDatum in these bytes."""
    record = caffe_pb2.AnnotatedDatum()
    try:
        record.ParseFromString(value)
    except DecodeError:
        raise DataError(f"{place}: its {len(value)} bytes are not an AnnotatedDatum; make the record anew") from None
    if not record.HasField("datum"):
        raise DataError(f"{place}: it has no datum; AnnotatedData reads AnnotatedDatum, Data reads Datum")
    return record


def boxes_of(record: Any) -> np.ndarray:
    """(G, 7), in the order of the groups."""
    rows = [
        (group.group_label, one.instance_id, one.bbox.xmin, one.bbox.ymin, one.bbox.xmax, one.bbox.ymax,
         one.bbox.difficult)
        for group in record.annotation_group for one in group.annotation
    ]  # fmt: skip
    return np.array(rows, np.float64).reshape(-1, 7)
