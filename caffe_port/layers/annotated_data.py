"""AnnotatedData: batches of pictures and the true boxes in them, out of an LMDB or a LevelDB."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from caffe_port.data.annotated import CORNERS, AnnotatedRecords, is_random, parse, seen_through
from caffe_port.data.db import open_db
from caffe_port.data.loader import Loader
from caffe_port.data.records import Records
from caffe_port.data.transformer import Transformer
from caffe_port.layers.base import Shape, register
from caffe_port.layers.prefetching import PrefetchingLayer
from caffe_port.proto import caffe_pb2

MOST = 300  # boxes a picture in MobileNet-YOLO's form
TRANSFORM = ("resize_param", "emit_constraint", "distort_param", "expand_param")
LEFT = ("seg_scales", "seg_resize_width", "seg_resize_height", "difficult_label_warmup")


@register()
class AnnotatedData(PrefetchingLayer):
    """The AnnotatedDatum records of `data_param.source` in key order, for ever, `batch_size` at a time.

    Tops: data (batch, channels, height, width); label (1, 1, G, 8), a row for each box of the batch: image in the
    batch, class, instance, xmin, ymin, xmax, ymax (shares of the picture), difficult; one row of -1 where there is
    none. MultiBoxLoss and DetectionEvaluate read that; G differs from batch to batch, and the shape rule says that of
    the first record. With `yolo_data_type: 1` label is (batch, 1, 300, 5) instead: class - 1, and the box's centre
    and size; without the difficult ones if `train_diffcult: false`. Records without an annotation type (and no
    `anno_type`) give label (batch,), their datum's.

    Before mean, scale, crop_size and mirror: distort_param, expand_param, batch_sampler (with yolo_data_type or a
    yolo_data_jitter and no sampler: a jittered part), resize_param; data/annotated.py says how. Boxes go along;
    `emit_constraint` says which stay. Of several resize_param one is drawn by `prob` for every 10 batches.

    Beyond SSD: raw records are expanded with the mean and distorted as encoded ones are; no stage is stored as a JPEG
    on the way; and bytes of a picture that holds floats stay. Raises for noise_param, crop_h and what concerns
    segmentation. `label_map_file` is not read, as in SSD. Random streams are not Caffe's.

    Source: annotated_data_layer.cpp of SSD (Liu et al., 2016) and of MobileNet-YOLO.
    """

    origin = "SSD"
    tops = (1, 2)
    fork_fields: ClassVar[tuple[str, ...]] = tuple(f"transform_param.{name}" for name in TRANSFORM)

    @property
    def batch_size(self) -> int:
        return self.param.data_param.batch_size

    @property
    def depth(self) -> int:
        return self.param.data_param.prefetch

    @property
    def is_random(self) -> bool:
        return is_random(self.param.transform_param, self.param.annotated_data_param)

    def check(self) -> None:
        t, p = self.param.transform_param, self.param.annotated_data_param
        set_ = [name for name in LEFT if p.HasField(name) and getattr(p, name)]
        if set_ or (p.HasField("anno_type") and p.anno_type != caffe_pb2.AnnotatedDatum.BBOX):
            raise self.unsupported(f"{set_[0] if set_ else 'anno_type'}: only boxes are read")
        if p.yolo_data_type not in (0, 1):
            raise self.error(f"yolo_data_type is {p.yolo_data_type}; there are 0 and 1")
        if t.HasField("expand_param") and t.HasField("mean_file"):
            raise self.error("expand_param fills with mean_value; a mean_file has another size than what it makes")
        if t.HasField("expand_param") and t.expand_param.max_expand_ratio < 1:
            raise self.error("max_expand_ratio must be at least 1")
        for one in t.resize_param:
            if not one.height or not one.width:
                raise self.error("resize_param must give height and width")
            if one.height_scale or one.width_scale:
                raise self.unsupported("height_scale and width_scale of resize_param")
        if len(t.resize_param) > 1 and abs(sum(one.prob for one in t.resize_param) - 1) > 0.01:
            raise self.error("the prob of all resize_param must add up to 1")
        for batch in p.batch_sampler:
            s = batch.sampler
            if not 0 < s.min_scale <= s.max_scale <= 1 or not 0 < s.min_aspect_ratio <= s.max_aspect_ratio:
                raise self.error("a sampler wants 0 < min_scale <= max_scale <= 1 and 0 < min_aspect_ratio <= max")
        d = t.distort_param
        for name in ("contrast", "saturation"):
            if not 0 <= getattr(d, f"{name}_lower") <= getattr(d, f"{name}_upper"):
                raise self.error(f"distort_param wants 0 <= {name}_lower <= {name}_upper")
        if d.brightness_delta < 0 or d.hue_delta < 0:
            raise self.error("brightness_delta and hue_delta of distort_param must not be negative")

    def open(self, transformer: Transformer, seed: int) -> AnnotatedRecords:
        self.check()
        p = self.param.data_param
        annotated = self.param.annotated_data_param
        labels = len(self.param.top) > 1
        records = AnnotatedRecords(
            self.param.transform_param, annotated, seed, self.batch_size, None, open_db(p.source, p.backend), labels,
            lambda: transformer.color, self.restarts(),
        )  # fmt: skip
        record = records.next()
        first = parse(record[1], records.place(record))
        records.rich = annotated.HasField("anno_type") or first.HasField("type")
        records.rewind()
        self.rich = records.rich
        self.first_boxes = sum(len(group.annotation) for group in first.annotation_group)
        return records

    def loader(self, records: Records, transformer: Transformer) -> Loader:
        if not self.rich or len(self.param.top) < 2:
            return super().loader(records, transformer)
        return BoxLoader(self.param, records, transformer, self.batch_size, title=self.title)

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        data, *label = super().top_shapes(bottom_shapes)
        if label and self.rich:
            yolo = self.param.annotated_data_param.yolo_data_type
            label = [(self.batch_size, 1, MOST, 5) if yolo else (1, 1, max(self.first_boxes, 1), 8)]
        return [data, *label]


class BoxLoader(Loader):
    """A loader whose labels are boxes, which go along with crop and mirror."""

    def __init__(self, param: Any, *arguments: Any, **more: Any) -> None:
        self.param = param
        super().__init__(*arguments, **more)

    def seen(self, label: Any, shape: tuple[int, ...], draw: Any) -> Any:
        t = self.param.transform_param
        emit = t.emit_constraint if t.HasField("emit_constraint") else None
        boxes = seen_through(self.window(shape, draw), label, emit)
        if t.mirror and draw is not None and draw[0] < 0.5:
            boxes[:, [2, 4]] = 1 - boxes[:, [4, 2]]
        return boxes

    def joined(self, labels: list[Any]) -> np.ndarray:
        if self.param.annotated_data_param.yolo_data_type:
            return self.yolo(labels)
        rows = [np.concatenate([np.full((len(boxes), 1), float(i)), boxes], 1) for i, boxes in enumerate(labels)]
        found = np.concatenate(rows).astype(np.float32)
        return (found if len(found) else np.full((1, 8), -1, np.float32))[None, None]

    def window(self, shape: tuple[int, ...], draw: Any) -> np.ndarray:
        """What the crop leaves, as shares of the picture."""
        if not any(self.transformer.crop):
            return np.array([0.0, 0.0, 1.0, 1.0])
        rows, columns = self.transformer.window(shape, draw)
        height, width = shape[-2:]
        return np.array([columns.start / width, rows.start / height, columns.stop / width, rows.stop / height])

    def yolo(self, shown: list[np.ndarray]) -> np.ndarray:
        found = np.zeros((len(shown), 1, MOST, 5), np.float32)
        for i, boxes in enumerate(shown):
            if not self.param.annotated_data_param.train_diffcult:
                boxes = boxes[boxes[:, 6] == 0]
            low, high = boxes[:MOST, 2:4], boxes[:MOST, CORNERS][:, 2:]
            found[i, 0, : len(low)] = np.concatenate([boxes[:MOST, :1] - 1, (low + high) / 2, high - low], 1)
        return found
