"""ImageSegData, and what DenseImageData has in common with it: picture and map under one scale, pad, cut and mirror."""

from __future__ import annotations

import gc
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe_port.data import image
from caffe_port.data.dropped import close_dropped
from caffe_port.errors import CaffeError, DataError
from caffe_port.layers.base import TRAIN
from tests.layers.data_layer import check_state, make, tops
from tests.layers.label_maps import PICTURES, SIZES, dense, mark, seg, wanted, which, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", [seg, dense])
def test_as_they_are(kind, folder: Path) -> None:
    layer = make(kind())
    assert layer.top_shapes([]) == [(1, 3, 6, 5), (1, 1, 6, 5)]
    for i in (0, 1, 2, 0):
        data, labels = tops(layer)
        np.testing.assert_array_equal(data[0], PICTURES[i].transpose(2, 0, 1))
        np.testing.assert_array_equal(labels[0, 0], mark(PICTURES[i]))
    grey = make(kind(more="label_type: PIXEL is_color: false" if kind is seg else "is_color: false"))
    assert grey.top_shapes([])[0] == (1, 1, 6, 5)


@pytest.mark.parametrize(("kind", "how"), [(seg, cv2.INTER_LINEAR), (dense, cv2.INTER_NEAREST)])
@pytest.mark.parametrize("with_opencv", [True, False])
def test_resized(kind, how: int, with_opencv: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_opencv:
        monkeypatch.setattr(image, "opencv", lambda: None)
    more = "new_height: 11 new_width: 4 " + "label_type: PIXEL" * (kind is seg)
    layer = make(kind(3, more, "mean_value: 3 scale: 2"))
    data, labels = tops(layer)
    for i, picture in enumerate(PICTURES):
        np.testing.assert_array_equal(data[i], 2 * (cv2.resize(picture, (4, 11)).astype(float).transpose(2, 0, 1) - 3))
        np.testing.assert_array_equal(labels[i, 0], cv2.resize(mark(picture), (4, 11), interpolation=how))


SCALES = [0.5, 1.0, 1.5]
TRANSFORM = "crop_height: 7 crop_width: 4 mirror: true mean_value: 10 mean_value: 20 mean_value: 30.5 " + " ".join(
    f"scale_factors: {s}" for s in SCALES
)


def test_scaled_padded_cut_and_mirrored_alike(folder: Path) -> None:
    """Each pair is one of those that the definition allows, and in a while all scales, sides and edges occur."""
    layer = make(seg(3, "label_type: PIXEL ignore_label: 200", TRANSFORM), TRAIN)
    assert layer.top_shapes([]) == [(3, 3, 7, 4), (3, 1, 7, 4)]
    can = [[wanted(p, s, (7, 4), [10, 20, 30.5], 200) for s in SCALES] for p in PICTURES]
    seen: list[set] = [set(), set(), set()]
    for _ in range(120):
        data, labels = tops(layer)
        for i in range(3):
            hits = [(s, n) for s in range(3) for n in which([data[i], labels[i, 0]], can[i][s])]
            assert hits, f"picture {i} became what the definition does not allow"
            seen[i] |= set(hits)
    for i in range(3):
        assert {(s, n % 2) for s, n in seen[i]} == {(s, side) for s in range(3) for side in range(2)}
    assert {n // 2 for s, n in seen[0] if s == 1} == {0, 1}  # 5 wide, cut to 4


def test_in_the_middle_and_smaller_than_the_crop(folder: Path) -> None:
    layer = make(seg(1, transform="crop_size: 7 mean_value: 10", third='top: "size"'))
    for i in (0, 1, 2):
        data, labels, size = tops(layer)
        (h, w), big = SIZES[i], np.full((9, 9), 255.0)
        big[:h, :w] = mark(PICTURES[i])
        top, left = (max(h, 7) - 7) // 2, (max(w, 7) - 7) // 2
        np.testing.assert_array_equal(labels[0, 0], big[top : top + 7, left : left + 7])
        assert size.ravel().tolist() == [min(h, 7), min(w, 7)]
    assert not tops(make(seg(1, transform="crop_size: 7 mean_value: 10")))[0][0, :, 6].any()  # the pad is the mean


@pytest.mark.parametrize(("more", "source", "labels"), [
    ("", "numbers.txt", [0, 7, 14]), ("label_type: NONE", "numbers.txt", [255] * 3),
    ("label_type: NONE ignore_label: 3", "list.txt", [3] * 3),
])
def test_one_label_a_picture(more: str, source: str, labels: list[int], folder: Path) -> None:
    layer = make(seg(more=more, source=source))
    for i, label in enumerate(labels):
        np.testing.assert_array_equal(tops(layer)[1], np.full((1, 1, *SIZES[i]), label))


@pytest.mark.parametrize("kind", [seg, dense])
def test_state(kind, folder: Path) -> None:
    text = (seg(2, "label_type: PIXEL shuffle: true", TRANSFORM) if kind is seg
            else dense(2, "shuffle: true mirror: true crop_height: 3 crop_width: 3"))  # fmt: skip
    check_state(text, 3, 4)


@pytest.mark.parametrize(("text", "message"), [
    (seg(source="gone.txt"), "gone.txt: the list of images cannot be read"),
    (seg(source="one.txt"), "one.txt:1: '0.png' is not 'picture map'"),
    (seg(source="empty.txt"), "empty.txt: the list of images is empty"),
    (seg(source="swapped.txt"), "0.png: it is 6 x 5, its map m1.png is 7 x 8"),
    (seg(more=""), "'m0.png' is no label from 0 to 255; a file with the map is label_type: PIXEL"),
    (seg(more="", source="big.txt"), "'256' is no label from 0 to 255"),
    (seg(source="numbers.txt"), "0: No such file"),
    (seg(transform="scale_factors: 2"), "give a crop_size"),
    (seg(transform='mean_file: "m"'), "mean_file|m cannot be read"),
    (seg(transform="crop_height: 3"), "give crop_size, or both crop_height and crop_width"),
    (seg(transform="crop_height: 3 crop_width: 3 crop_size: 3"), "give crop_size, or both"),
    (seg(more="label_type: PIXEL new_height: 3"), "new_height and new_width belong together"),
])
def test_refused(text: str, message: str, folder: Path) -> None:
    Path("one.txt").write_text("0.png\n")
    Path("empty.txt").write_text("\n")
    Path("swapped.txt").write_text("0.png m1.png\n")
    Path("big.txt").write_text("0.png 256\n")
    with pytest.raises(CaffeError, match=message) as caught:
        make(text)
    assert "layer 'd'" in str(caught.value)


def test_sizes_differ(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1.png: it is \(3, 7, 8\) .*0.png of the same batch is \(3, 6, 5\)"):
        make(seg(2))()


@pytest.mark.parametrize("kind", [seg, dense])
def test_a_dropped_layer_lets_its_thread_go(kind, folder: Path) -> None:
    layer = make(kind())
    tops(layer)
    stream = layer.stream
    del layer
    gc.collect()
    close_dropped()
    assert stream.closed
