"""ImageData: Caffe's answers; shuffling, skipping, ranks, states; lists and files that are no good."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe_port.data import image, loader
from caffe_port.errors import CaffeError, DataError
from caffe_port.layers.base import TRAIN
from tests.layers.data_layer import check_golden, check_state, golden_cases, labels, make, tops


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five pictures of growing size, labelled 0 to 4, in list.txt; the working folder."""
    monkeypatch.chdir(tmp_path)
    for i in range(5):
        cv2.imwrite(f"a {i}.png", np.random.default_rng(i).integers(0, 256, (6 + i, 5 + i, 3), dtype=np.uint8))
    Path("list.txt").write_text("".join(f"a {i}.png {i}\n" for i in range(5)))
    return tmp_path


SMALL = "new_height: 4 new_width: 3"


def images(batch: int = 2, more: str = SMALL, source: str = "list.txt", transform: str = "") -> str:
    return (f'type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }} '
            f'image_data_param {{ source: "{source}" batch_size: {batch} {more} }}')


@pytest.mark.parametrize("with_opencv", [True, False])
@pytest.mark.parametrize("path", golden_cases("ImageData"), ids=lambda p: p.stem)
def test_as_caffe(path: Path, with_opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_opencv:
        monkeypatch.setattr(image, "opencv", lambda: None)
    check_golden(path, monkeypatch)


def test_shuffle_is_a_new_order_each_time(folder: Path) -> None:
    layer = make(images(5, "shuffle: true new_height: 4 new_width: 3"))
    rounds = [labels(layer, 1) for _ in range(6)]
    assert all(sorted(r) == [0, 1, 2, 3, 4] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 3
    again = make(images(5, "shuffle: true new_height: 4 new_width: 3"))
    assert [labels(again, 1) for _ in range(6)] == rounds


def test_rand_skip(folder: Path) -> None:
    starts = {tuple(labels(make(images(2, "rand_skip: 3 new_height: 4 new_width: 3"), seed=s), 3)) for s in range(30)}
    assert starts == {(0, 1, 2, 3, 4, 0), (1, 2, 3, 4, 0, 1), (2, 3, 4, 0, 1, 2)}


def test_ranks_share_the_lines(folder: Path) -> None:
    for rank, want in ((0, [0, 2, 4, 1, 3, 0]), (1, [1, 3, 0, 2, 4, 1])):
        layer = make(images(2), TRAIN)
        layer.set_rank(rank, 2)
        assert labels(layer, 3) == want


def test_state(folder: Path) -> None:
    text = images(2, "shuffle: true new_height: 9 new_width: 8", transform="crop_size: 3 mirror: true")
    check_state(text, 4, 6)


def test_empty_lines_and_windows_lines(folder: Path) -> None:
    Path("odd.txt").write_bytes(b"\r\na 1.png 7\r\n\n  a 2.png   -8  \n")
    assert labels(make(images(2, source="odd.txt")), 1) == [7, -8]


LISTS = [
    ("", r"odd.txt: the list of images is empty"),
    ("\n \n", r"odd.txt: the list of images is empty"),
    ("a 1.png 1\na 2.png\n", r"odd.txt:2: 'a 2.png' is not 'path label'"),
    ("a 1.png 1.5\n", r"odd.txt:1: 'a 1.png 1.5' is not 'path label' with a whole number"),
    ("7\n", r"odd.txt:1: '7' is not 'path label'"),
    ("gone.png 1\n", r"gone.png: No such file or directory"),
    (". 1\n", r"\.: Is a directory"),
    ("list.txt 1\n", r"list.txt: it is not an image that OpenCV can decode"),
]


@pytest.mark.parametrize(("lines", "message"), LISTS)
def test_bad_list(lines: str, message: str, folder: Path) -> None:
    Path("odd.txt").write_text(lines)
    with pytest.raises(DataError, match=rf"^layer 'd' \(ImageData\): {message}"):
        make(images(source="odd.txt"))


@pytest.mark.parametrize(("text", "message"), [
    (images(source="gone.txt"), "gone.txt: the list of images cannot be read: No such file"),
    (images(2, "new_height: 4"), "new_height and new_width belong together"),
    (images(2, "new_width: 4"), "new_height and new_width belong together"),
    (images(0), "batch_size must be given, and at least 1"),
    (images(1, "rand_skip: 90000"), r"rand_skip 90000 drew \d+ lines to skip, list.txt has 5"),
])
def test_bad_definition(text: str, message: str, folder: Path) -> None:
    with pytest.raises(CaffeError, match=rf"^layer 'd' \(ImageData\): {message}"):
        make(text)


def test_sizes_differ(folder: Path) -> None:
    layer = make(images(2, ""))
    with pytest.raises(DataError, match=r"a 1.png: it is \(3, 7, 6\) .*a 0.png of the same batch is \(3, 6, 5\)"):
        layer()
    assert [tops(make(images(1, "")))[0].shape for _ in range(2)] == [(1, 3, 6, 5)] * 2
    one = make(images(1, ""))
    assert [tops(one)[0].shape[2] for _ in range(6)] == [6, 7, 8, 9, 10, 6]


def test_skips_what_does_not_decode(folder: Path) -> None:
    Path("a 2.png").write_bytes(Path("a 2.png").read_bytes()[:80])
    Path("a 3.png").unlink()
    with pytest.raises(DataError, match="a 2.png: the PNG is cut short"):
        labels(make(images(4)), 1)
    with loader.skipping_bad_records():
        assert labels(make(images(4)), 2) == [0, 1, 4, 0, 1, 4, 0, 1]
