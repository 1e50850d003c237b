"""MultiImageData: several labels a picture; pictures as ImageData's; shifted colours and turned pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe_port.data import image
from caffe_port.errors import CaffeError, DataError
from caffe_port.layers.base import TRAIN
from tests.layers.data_layer import make, tops

LABELS = [[1, -1, 0], [0, 1, 1], [-1, -1, -1], [1, 1, 1], [2, 0, 7]]
SMALL = "new_height: 4 new_width: 3"
EIGEN = " ".join(f"eig_value: {v}" for v in (3, 2, 1)) + " " + " ".join(f"eig_vector: {v}" for v in range(1, 10))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five pictures of growing size with three labels each, in list.txt; plain.txt is the same for ImageData."""
    monkeypatch.chdir(tmp_path)
    for i in range(5):
        cv2.imwrite(f"{i}.png", np.random.default_rng(i).integers(0, 256, (6 + i, 5 + i, 3), dtype=np.uint8))
    Path("list.txt").write_text("".join(f"{i}.png {' '.join(map(str, row))}\n" for i, row in enumerate(LABELS)))
    Path("plain.txt").write_text("".join(f"{i}.png {i}\n" for i in range(5)))
    return tmp_path


def images(batch: int = 2, more: str = SMALL, transform: str = "", top: str = 'top: "label"') -> str:
    return (f'type: "MultiImageData" top: "data" {top} transform_param {{ {transform} }} '
            f'multiimage_data_param {{ source: "list.txt" batch_size: {batch} {more} }}')  # fmt: skip


def plain(batch: int, more: str, transform: str) -> str:
    return images(batch, more, transform).replace("Multi", "").replace("multiimage", "image").replace("list", "plain")


@pytest.mark.parametrize(("more", "transform"), [
    (SMALL, ""), (f"{SMALL} is_color: false", "scale: 0.5 mean_value: 20"), (SMALL, "crop_size: 2 mean_value: 9"),
    (f"{SMALL} shuffle: true", "crop_size: 2 mirror: true"), ("rand_skip: 3 new_height: 9 new_width: 9", ""),
])  # fmt: skip
def test_pictures_as_image_data(more: str, transform: str, folder: Path) -> None:
    ours, stock = make(images(2, more, transform), TRAIN), make(plain(2, more, transform), TRAIN)
    shapes = stock.top_shapes([])
    assert ours.top_shapes([]) == [shapes[0], (2, 3)]
    for _ in range(6):
        (data, labels), (want, lines) = tops(ours), tops(stock)
        np.testing.assert_array_equal(data, want)
        np.testing.assert_array_equal(labels, np.array(LABELS, np.float32)[lines.astype(int)])


def test_without_the_labels(folder: Path) -> None:
    layer = make(images(top=""))
    assert layer.top_shapes([]) == [(2, 3, 4, 3)] and len(tops(layer)) == 1


def test_colours_are_shifted_along_the_eigenvectors(folder: Path) -> None:
    layer = make(images(5, f"{SMALL} {EIGEN} eig_coef_mean: 0.5 eig_coef_var: 2"))
    stock = tops(make(images(5)))[0]
    shifts = np.concatenate([tops(layer)[0] - stock for _ in range(300)])
    assert np.ptp(shifts, (2, 3)).max() < 1e-3  # one number a channel
    vectors, values = np.arange(1, 10).reshape(3, 3), np.array([3, 2, 1])
    want_mean, want_cov = vectors @ (values * 0.5), vectors @ np.diag(4.0 * values**2) @ vectors.T
    got = shifts[:, :, 0, 0]
    np.testing.assert_allclose(got.mean(0), want_mean, atol=5 * np.sqrt(want_cov.diagonal().max() / 1500))
    np.testing.assert_allclose(np.cov(got.T), want_cov, rtol=0.25)


@pytest.mark.parametrize("angle", [30, -90])
def test_turned(angle: int, folder: Path) -> None:
    """The corner that goes round is OpenCV's; a fixed angle leaves nothing to chance."""
    size = "new_height: 8 new_width: 6"
    stock = tops(make(images(2, size)))[0]
    got = tops(make(images(2, f"{size} rotation_theta_min: {angle} rotation_theta_max: {angle}")))[0]
    matrix = cv2.getRotationMatrix2D((3, 4), angle, 1.0)
    for one, want in zip(got, stock, strict=True):
        turned = cv2.warpAffine(np.ascontiguousarray(want.transpose(1, 2, 0)), matrix, (6, 8))
        np.testing.assert_allclose(one.transpose(1, 2, 0), turned, atol=1e-3)


def test_a_quarter_turn_moves_pixels(folder: Path) -> None:
    """Without OpenCV's word for it: 90 degrees counter-clockwise around the middle of a square of odd size."""
    size = "new_height: 5 new_width: 5"
    stock = tops(make(images(1, size)))[0][0]
    got = tops(make(images(1, f"{size} rotation_theta_min: 90 rotation_theta_max: 90")))[0][0]
    np.testing.assert_allclose(got, np.rot90(stock, axes=(1, 2)), atol=1e-3)


def test_seeds_and_states(folder: Path) -> None:
    text = images(2, f"{SMALL} {EIGEN} eig_coef_var: 1 shuffle: true rotation_theta_min: -9 rotation_theta_max: 9")
    layer, again, other = make(text), make(text), make(text, seed=9)
    first = [tops(layer)[0] for _ in range(3)]
    assert all((a == tops(again)[0]).all() for a in first)
    state = layer.state()
    want = [tops(layer) for _ in range(4)]
    assert any((a != tops(other)[0]).any() for a in first)
    other.restore(state)
    for batch in want:
        for a, b in zip(batch, tops(other), strict=True):
            np.testing.assert_array_equal(a, b)


LISTS = [
    ("", "the list of images is empty"),
    ("\n\n", "the list of images is empty"),
    ("0.png 1 0\n1.png 1\n", "odd.txt:2: 1 labels; every line"),
    ("0.png\n", "odd.txt:1: 0 labels"),
    ("0.png 1 x\n", "odd.txt:1: '0.png 1 x' is not 'path label label"),
    ("gone.png 1\n", "gone.png: No such file"),
]


@pytest.mark.parametrize(("lines", "message"), LISTS)
def test_bad_list(lines: str, message: str, folder: Path) -> None:
    Path("odd.txt").write_text(lines)
    with pytest.raises(DataError, match=rf"^layer 'd' \(MultiImageData\): .*{message}"):
        make(images().replace("list.txt", "odd.txt"))


@pytest.mark.parametrize(("text", "message"), [
    (images().replace("list.txt", "gone.txt"), "gone.txt: the list of images cannot be read"),
    (images(more="new_height: 4"), "belong together"),
    (images(0), "batch_size must be given"),
    (images(more="eig_value: 1"), "1 eig_value, 0 eig_vector; give 3 and 9"),
    (images(more="rotation_theta_min: 3"), "must not be greater"),
    (images(more=f"{SMALL} {EIGEN} is_color: false"), "shift three channels; it has 1"),
])  # fmt: skip
def test_bad_definition(text: str, message: str, folder: Path) -> None:
    with pytest.raises(CaffeError, match=rf"^layer 'd' \(MultiImageData\): .*{message}"):
        make(text)


def test_turning_without_opencv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caffe_port.data.attributes.opencv", lambda: None)
    monkeypatch.setattr(image, "opencv", lambda: None)
    with pytest.raises(DataError, match="needs OpenCV: pip install"):
        make(images(more=f"{SMALL} rotation_theta_max: 5"))
