"""AnnotatedData: pictures and boxes stay together through every stage.

Channel c - 1 of a picture is bright inside the boxes of class c and dark elsewhere, so that it says where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe_port.data import annotated
from caffe_port.data.datum import encode_datum
from caffe_port.data.db import create_db
from caffe_port.data.image import opencv
from caffe_port.errors import CaffeError
from caffe_port.layers.base import TRAIN
from caffe_port.proto import caffe_pb2, text
from tests.layers.data_layer import make, tops

HEIGHT, WIDTH = 40, 60
# label, instance, box in pixels (xmin, ymin, xmax, ymax), difficult
BOXES: list[list[tuple[int, int, tuple[int, int, int, int], bool]]] = [
    [(1, 0, (6, 4, 30, 24), False), (2, 0, (33, 8, 57, 36), True)],
    [(3, 1, (12, 10, 48, 30), False)],
    [],
]


def picture(boxes: Any) -> np.ndarray:
    array = np.full((3, HEIGHT, WIDTH), 20, np.uint8)
    for label, _, (x, y, right, bottom), _ in boxes:
        array[label - 1, y:bottom, x:right] = 200
    return array


def record(boxes: Any, typed: bool = True, label: int | None = None, encoded: bool = False) -> Any:
    made = caffe_pb2.AnnotatedDatum()
    array = picture(boxes)
    if encoded:
        import cv2

        data = cv2.imencode(".png", np.ascontiguousarray(array.transpose(1, 2, 0)))[1].tobytes()
        made.datum.CopyFrom(encode_datum(encoded=data, label=label))
    else:
        made.datum.CopyFrom(encode_datum(array, label))
    if typed:
        made.type = made.BBOX
    for name, instance, (x, y, right, bottom), difficult in boxes:
        group = made.annotation_group.add(group_label=name)
        box = group.annotation.add(instance_id=instance).bbox
        box.xmin, box.ymin, box.xmax, box.ymax = x / WIDTH, y / HEIGHT, right / WIDTH, bottom / HEIGHT
        box.difficult = difficult
    return made


def write(path: Path, records: Iterable[Any]) -> Path:
    with create_db(path) as out:
        for i, one in enumerate(records):
            out.put(b"%04d" % i, one.SerializeToString())
    return path


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return write(tmp_path / "three", (record(boxes) for boxes in BOXES))


def data(source: Path, batch: int = 3, transform: str = "", more: str = "") -> str:
    return (f'type: "AnnotatedData" top: "data" top: "label" transform_param {{ {transform} }} '
            f'data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }} '
            f"annotated_data_param {{ {more} }}")  # fmt: skip


def rows(boxes: Any = BOXES) -> np.ndarray:
    found = [
        [i, label, instance, box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT, difficult]
        for i, one in enumerate(boxes) for label, instance, box, difficult in one
    ]  # fmt: skip
    return np.array(found)


def check_boxes(pictures: np.ndarray, label: np.ndarray, slack: float) -> int:
    """Every row's box is where its channel is bright, to so many pixels; how many were seen."""
    seen = 0
    for image, name, _, *box, _ in label.reshape(-1, 8):
        if image < 0:
            continue
        inside = pictures[int(image), int(name) - 1] > 110
        height, width = inside.shape
        ys, xs = inside.nonzero()
        assert len(ys), f"image {image}: no pixel of class {name}"
        want = [xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height]
        np.testing.assert_array_less(np.abs(np.array(box) - want) * [width, height, width, height], slack)
        seen += 1
    return seen


def test_as_stored(three: Path) -> None:
    layer = make(data(three))
    assert layer.top_shapes([]) == [(3, 3, HEIGHT, WIDTH), (1, 1, 2, 8)]
    got, label = tops(layer)
    np.testing.assert_array_equal(got, np.stack([picture(boxes) for boxes in BOXES]))
    np.testing.assert_allclose(label[0, 0], rows(), rtol=1e-6)


def test_a_batch_without_a_box(three: Path) -> None:
    layer = make(data(three, 1))
    shapes = [tops(layer)[1] for _ in range(3)]
    assert [s.shape for s in shapes] == [(1, 1, 2, 8), (1, 1, 1, 8), (1, 1, 1, 8)]
    assert (shapes[2] == -1).all() and (shapes[1][0, 0, 0, :3] == [0, 3, 1]).all()


def test_labels_of_records_without_a_type(tmp_path: Path) -> None:
    source = write(tmp_path / "plain", (record([], False, label) for label in (4, 7)))
    layer = make(data(source, 2))
    assert layer.top_shapes([])[1] == (2,) and tops(layer)[1].tolist() == [4, 7]
    assert tops(make(data(source, 2, more="anno_type: BBOX")))[1].shape == (1, 1, 1, 8)


def test_pictures_in_files(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    source = write(tmp_path / "files", (record(boxes, encoded=True) for boxes in BOXES))
    np.testing.assert_array_equal(tops(make(data(source)))[0], np.stack([picture(boxes) for boxes in BOXES]))


def test_yolo_form(three: Path) -> None:
    layer = make(data(three, more="yolo_data_type: 1 yolo_data_jitter: 0"))
    label = tops(layer)[1]
    assert label.shape == layer.top_shapes([])[1] == (3, 1, 300, 5)
    want = np.zeros((3, 1, 300, 5))
    for i, image in enumerate((0, 0, 1)):
        _, name, _, x, y, right, bottom, _ = rows()[i]
        want[image, 0, i % 2] = [name - 1, (x + right) / 2, (y + bottom) / 2, right - x, bottom - y]
    np.testing.assert_allclose(label, want, rtol=1e-5)
    easy = tops(make(data(three, more="yolo_data_type: 1 yolo_data_jitter: 0 train_diffcult: false")))[1]
    want[0, 0, 1] = 0
    np.testing.assert_allclose(easy, want, rtol=1e-5)


EMIT = "emit_constraint { emit_type: CENTER }"
SAMPLE = (
    "sampler { min_scale: 0.3 max_scale: 1 min_aspect_ratio: 0.5 max_aspect_ratio: 2 } max_sample: 1 max_trials: 50"
)
STAGES = [  # name, transform, annotated data, how far a box may be from its pixels
    ("mirror", "mirror: true", "", 1.0),
    ("warp", "resize_param { height: 80 width: 90 }", "", 1.6),
    ("small", "resize_param { resize_mode: FIT_SMALL_SIZE height: 60 width: 60 }", "", 1.6),
    ("pad above", "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 90 width: 60 }", "", 1.6),
    ("pad beside", "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 40 width: 99 pad_value: 5 }", "",
     1.6),
    ("crop", f"crop_size: 33 {EMIT}", "", 1.01),
    ("crop and mirror", f"crop_size: 36 mirror: true {EMIT}", "", 1.01),
    ("expand", "expand_param { max_expand_ratio: 3 } mean_value: 20 mean_value: 20 mean_value: 20 "
     "resize_param { height: 120 width: 180 }", "", 3.0),
    ("sample", f"{EMIT} resize_param {{ height: 80 width: 120 }}", f"batch_sampler {{ {SAMPLE} }}", 8.0),
    ("jitter", "resize_param { height: 80 width: 120 }", "yolo_data_jitter: 0.5", 8.0),
]  # fmt: skip


@pytest.mark.parametrize(("transform", "more", "slack"), [stage[1:] for stage in STAGES],
                         ids=[stage[0] for stage in STAGES])  # fmt: skip
def test_boxes_go_along(transform: str, more: str, slack: float, three: Path) -> None:
    """The slack is in pixels of the result: whole pixels cut and resized."""
    layer = make(data(three, 3, transform, more), TRAIN)
    mean = 20 if "mean_value" in transform else 0
    seen = 0
    for _ in range(8):
        pictures, label = tops(layer)
        seen += check_boxes(pictures + mean, label, slack)
    assert seen >= 8


def test_the_mirror_turns_about_half(three: Path) -> None:
    layer = make(data(three, 1, "mirror: true"), TRAIN)
    turned = 0
    for i in range(60):
        label = tops(layer)[1][0, 0]
        turned += i % 3 == 1 and not np.isclose(label[0, 3], 12 / WIDTH)
    assert turned == 0  # its box is in the middle
    firsts = [tops(layer)[1][0, 0, 0, 3] for _ in range(60)][::3]
    assert 3 < sum(not np.isclose(x, 6 / WIDTH) for x in firsts) < 17


@pytest.mark.parametrize(("emit", "kept"), [
    ("", 2), (EMIT, 1), ("emit_constraint { emit_type: MIN_OVERLAP emit_overlap: 0.4 }", 2),
    ("emit_constraint { emit_type: MIN_OVERLAP emit_overlap: 0.6 }", 1),
])  # fmt: skip
def test_which_boxes_stay(emit: str, kept: int, three: Path) -> None:
    param = text.parse(emit, caffe_pb2.TransformationParameter).message
    window = np.array([0, 0, 44 / WIDTH, 1])  # 11 of the second box's 24 columns; its centre, at 45, does not show
    boxes = rows()[:2, 1:]
    got = annotated.seen_through(window, boxes, param.emit_constraint if emit else None)
    assert len(got) == kept
    np.testing.assert_allclose(got[0, 2:6], boxes[0, 2:6] / [44 / WIDTH, 1, 44 / WIDTH, 1])
    if kept == 2:
        np.testing.assert_allclose(got[1, 2:6], [33 / 44, 8 / HEIGHT, 1, 36 / HEIGHT])


LIMITS = [
    ("", True), ("min_jaccard_overlap: 0.2", True), ("min_jaccard_overlap: 0.3", False),
    ("max_jaccard_overlap: 0.1", True), ("min_object_coverage: 1", True), ("max_sample_coverage: 0", True),
    ("min_sample_coverage: 0.25 min_object_coverage: 0.99", True), ("min_sample_coverage: 0.26", False),
    ("min_sample_coverage: 0.2 max_object_coverage: 0.1", False),  # no one box meets both
]  # fmt: skip


@pytest.mark.parametrize(("limit", "good"), LIMITS, ids=[limit for limit, _ in LIMITS])
def test_sample_constraints(limit: str, good: bool) -> None:
    """A part of area 1/4; one box of 1/16 inside it (overlap 1/4), one outside."""
    part = np.array([0, 0, 0.5, 0.5])
    boxes = np.array([[0.25, 0.25, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]])
    constraint = text.parse(limit, caffe_pb2.SampleConstraint).message
    assert annotated.satisfies(part, boxes, constraint) == good
    assert annotated.satisfies(part, boxes[:0], constraint) == (not limit)


def test_parts_are_as_drawn() -> None:
    sampler = text.parse("min_scale: 0.2 max_scale: 0.9 min_aspect_ratio: 0.4 max_aspect_ratio: 3",
                         caffe_pb2.Sampler).message  # fmt: skip
    rng = np.random.default_rng(0)
    parts = np.array([annotated.draw_part(sampler, rng) for _ in range(400)])
    size = parts[:, 2:] - parts[:, :2]
    scale = np.sqrt(size.prod(1))
    assert (parts >= 0).all() and (parts <= 1 + 1e-6).all()
    assert 0.2 <= scale.min() < 0.25 and 0.85 < scale.max() <= 0.9
    ratio = size[:, 0] / size[:, 1]
    assert (ratio <= 3.001).all() and (ratio >= 0.399).all() and np.ptp(ratio) > 1.5


def test_colours(three: Path) -> None:
    """Each distortion by itself, of a plain colour; brightness and contrast by hand, the rest by OpenCV."""
    cv2 = pytest.importorskip("cv2")
    assert opencv() is cv2
    plain = np.full((2, 3, 3), (100, 150, 200), np.uint8)

    def of(options: str) -> np.ndarray:
        param = text.parse(options, caffe_pb2.DistortionParameter).message
        return np.array([annotated.distorted(plain, param, np.random.default_rng(i))[0, 0] for i in range(99)], int)

    assert (of("") == plain[0, 0]).all()
    bright = of("brightness_prob: 1 brightness_delta: 32") - plain[0, 0]
    assert (bright == bright[:, :1]).all() and -32 <= bright.min() < -20 and 20 < bright.max() <= 32
    contrast = of("contrast_prob: 1 contrast_lower: 0.5 contrast_upper: 1.5")
    assert np.abs(contrast[:, 0] * 1.5 - contrast[:, 1]).max() < 1.5 and contrast.max() == 255
    hsv = [
        cv2.cvtColor(x.astype(np.uint8)[None], cv2.COLOR_BGR2HSV)[0].astype(int)
        for x in (of("saturation_prob: 1 saturation_lower: 0.5 saturation_upper: 1.5"), of("hue_prob: 1 hue_delta: 18"))
    ]
    was = cv2.cvtColor(plain, cv2.COLOR_BGR2HSV)[0, 0].astype(int)
    assert np.abs(hsv[0][:, [0, 2]] - was[[0, 2]]).max() <= 1 and np.ptp(hsv[0][:, 1]) > 80
    assert np.abs(hsv[1][:, 1:] - was[1:]).max() <= 2 and 25 < np.ptp(hsv[1][:, 0]) and hsv[1][:, 0].min() >= 0
    orders = of("random_order_prob: 1")
    assert len({tuple(x) for x in orders}) == 6 and (np.sort(orders) == plain[0, 0]).all()


def test_sizes_change_every_ten_batches(three: Path) -> None:
    sizes = "resize_param { prob: 0.5 height: 20 width: 30 } resize_param { prob: 0.5 height: 10 width: 15 }"
    layer = make(data(three, 3, sizes), TRAIN)
    heights = np.array([tops(layer)[0].shape[2] for _ in range(60)]).reshape(6, 10)
    assert (heights == heights[:, :1]).all() and set(heights[:, 0]) == {10, 20}


def test_seeds_and_states(three: Path) -> None:
    everything = data(three, 2, f"mirror: true {EMIT} expand_param {{ prob: 0.5 max_expand_ratio: 2 }} crop_size: 30 "
                      "resize_param { height: 40 width: 40 }", f"batch_sampler {{ {SAMPLE} }}")  # fmt: skip
    layer, again, other = make(everything, TRAIN), make(everything, TRAIN), make(everything, TRAIN, seed=8)
    first = [tops(layer) for _ in range(3)]
    assert all((a == b).all() for batch in first for a, b in zip(batch, tops(again), strict=True))
    state = layer.state()
    want = [tops(layer) for _ in range(4)]
    assert any((batch[0] != tops(other)[0]).any() for batch in first)
    other.restore(state)
    for batch in want:
        for a, b in zip(batch, tops(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_is_drawn_does_not_depend_on_what_is_not_random(three: Path) -> None:
    """As Caffe's, a layer without anything random takes no number from the global stream."""
    make(data(three))
    here = torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == here


REFUSED = [
    ("noise_param { prob: 1 }", "", "noise_param"),
    ("", "anno_type: LANE", "only boxes are read"),
    ("", "seg_resize_width: 9", "seg_resize_width: only boxes"),
    ("", "yolo_data_type: 2", "yolo_data_type is 2"),
    ("resize_param { height: 9 }", "", "must give height and width"),
    ("resize_param { prob: 0.5 height: 9 width: 9 } resize_param { height: 9 width: 9 }", "", "add up to 1"),
    ("resize_param { height: 9 width: 9 height_scale: 3 width_scale: 3 }", "", "height_scale"),
    ("expand_param { max_expand_ratio: 0.5 }", "", "at least 1"),
    ("", "batch_sampler { sampler { min_scale: 0 } }", "0 < min_scale"),
    ("distort_param { contrast_lower: 2 contrast_upper: 1 }", "", "contrast_lower"),
]


@pytest.mark.parametrize(("transform", "more", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_refused(transform: str, more: str, words: str, three: Path) -> None:
    from caffe_port.net import Net

    net = text.parse(f'layer {{ name: "d" {data(three, 3, transform, more)} }}', caffe_pb2.NetParameter).message
    with pytest.raises(CaffeError, match=words) as caught:
        Net(net, TRAIN)
    assert "layer 'd'" in str(caught.value)


def test_bad_records(tmp_path: Path) -> None:
    plain = write(tmp_path / "datum", [encode_datum(picture([]), 1)])
    with pytest.raises(CaffeError, match="AnnotatedData reads AnnotatedDatum|not an AnnotatedDatum"):
        make(data(plain, 1))
    mixed = write(tmp_path / "mixed", [record([]), record([], False, 1)])
    with pytest.raises(CaffeError, match="0001.*lacks the type"):
        tops(make(data(mixed, 2)))


def test_trains_ssd(three: Path) -> None:
    """From the records to the loss: boxes of every batch are what MultiBoxLoss reads."""
    from caffe_port.net import Net

    head = "".join(
        f"""layer {{ name: "{name}" type: "Convolution" bottom: "data" top: "{name}" convolution_param {{ num_output: 4
      kernel_size: 3 stride: 4 pad: 1 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "{name}_perm" type: "Permute" bottom: "{name}" top: "{name}_perm"
      permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
    layer {{ name: "{name}_flat" type: "Flatten" bottom: "{name}_perm" top: "{name}_flat" }}"""
        for name in ("loc", "conf")
    )
    source = f"""layer {{ name: "d" {data(three, 2, "scale: 0.01 resize_param { height: 32 width: 32 }")} }} {head}
    layer {{ name: "prior" type: "PriorBox" bottom: "loc" bottom: "data" top: "prior" prior_box_param {{ min_size: 14
      variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }} }}
    layer {{ name: "loss" type: "MultiBoxLoss" bottom: "loc_flat" bottom: "conf_flat" bottom: "prior" bottom: "label"
      top: "loss" multibox_loss_param {{ num_classes: 4 code_type: CENTER_SIZE overlap_threshold: 0.3 }} }}"""
    net = Net(text.parse(source, caffe_pb2.NetParameter).message, TRAIN)
    losses = []
    for _ in range(30):
        loss = net.run().loss
        loss.backward()
        losses.append(float(loss.detach()))
        with torch.no_grad():
            for learnable in net.learnable:
                learnable.tensor.sub_(learnable.diff, alpha=0.02)
                learnable.diff.zero_()
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
