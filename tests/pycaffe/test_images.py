"""What pycaffe does with images before they reach a net, against a genuine pycaffe with scikit-image 0.24."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_port.pycaffe as caffe
from caffe_port.errors import CaffeError

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "pycaffe" / "images.npz")
IMAGES = [GOLDEN[f"image{i}"] for i in range(3)]
MEAN = np.array([104.0, 117.0, 123.0])
CLOSE = dict(rtol=2e-5, atol=1e-6)  # probabilities of about 0.2 after float32 sums over a few hundred numbers


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A net's definition, and its weights."""
    model, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    model.write_text(str(GOLDEN["prototxt"]))
    net = caffe.Net(str(model), caffe.TEST)
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            blob.data[...] = GOLDEN[f"param.{name}.{i}"]
    net.save(str(weights))
    return str(model), str(weights)


@pytest.mark.parametrize("case", range(7))
def test_resize_image(case: int) -> None:
    """To the bit: smaller, larger, one, three and other numbers of channels, the same size."""
    made = caffe.io.resize_image(GOLDEN[f"resize.in.{case}"], GOLDEN[f"resize.dims.{case}"])
    np.testing.assert_array_equal(made, GOLDEN[f"resize.out.{case}"])


def test_a_flat_image_is_resized_to_its_value() -> None:
    assert (caffe.io.resize_image(np.full((5, 7, 3), 0.25, np.float32), (3, 9)) == 0.25).all()


def test_oversample() -> None:
    np.testing.assert_array_equal(caffe.io.oversample(GOLDEN["crops_of"], (7, 8)), GOLDEN["crops"])
    with pytest.raises(ValueError, match="images of 10 x 12 have no crop of 7 x 13"):
        caffe.io.oversample(GOLDEN["crops_of"], (7, 13))


@pytest.mark.parametrize("oversample, expected", [(True, "ten"), (False, "center")])
def test_classifier(files: tuple[str, str], oversample: bool, expected: str) -> None:
    net = caffe.Classifier(
        *files, image_dims=[17, 15], mean=MEAN, input_scale=0.5, raw_scale=255, channel_swap=(2, 1, 0)
    )
    np.testing.assert_allclose(net.predict(IMAGES, oversample), GOLDEN[expected], **CLOSE)


def test_classifier_with_a_mean_image_of_another_size(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files, mean=GOLDEN["mean"], raw_scale=255)
    np.testing.assert_allclose(net.predict(IMAGES, oversample=False), GOLDEN["plain"], **CLOSE)


def test_detector(files: tuple[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "picture.png")
    Image.fromarray(GOLDEN["picture"]).save(path)
    net = caffe.Detector(*files, mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0))
    found = net.detect_windows([(path, GOLDEN["windows"])])
    np.testing.assert_allclose([one["prediction"] for one in found], GOLDEN["detected"], **CLOSE)
    assert [one["filename"] for one in found] == [path] * 3 and found[1]["window"].tolist() == [0, 0, 24, 30]
    assert net.detect_windows([]) == []


def test_context_around_a_window(files: tuple[str, str]) -> None:
    """A window inside: 8 of 12 pixels are the window, 2 on each side what is around it. At a corner: the mean."""
    net = caffe.Detector(*files, mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)
    image = np.zeros((40, 40, 3), np.float32)
    image[10:26, 12:28] = 1
    crop = net.crop(image, [10, 12, 25, 27])
    assert crop.shape == (12, 12, 3) and crop[4:8, 4:8].min() == 1 and crop[0].max() < 0.3 and crop[:, -1].max() < 0.5
    corner = net.crop(image, [0, 0, 15, 15])
    np.testing.assert_allclose(corner[0, 0], MEAN[::-1] / 255, rtol=1e-6)


LOADED: list[tuple[str, Any, bool, tuple[int, ...], list[float]]] = [
    ("RGB", (255, 0, 51), True, (2, 3, 3), [1.0, 0.0, 0.2]),
    ("RGB", (255, 0, 51), False, (2, 3, 1), [0.2125 + 0.2 * 0.0721]),
    ("L", 51, True, (2, 3, 3), [0.2] * 3),
    ("L", 51, False, (2, 3, 1), [0.2]),
    ("RGBA", (51, 0, 255, 7), True, (2, 3, 3), [0.2, 0.0, 1.0]),
]


@pytest.mark.parametrize("mode, pixel, color, shape, expected", LOADED)
def test_load_image(
    mode: str, pixel: Any, color: bool, shape: tuple[int, ...], expected: list[float], tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    Image.new(mode, (3, 2), pixel).save(path)
    image = caffe.io.load_image(str(path), color)
    assert image.dtype == np.float32 and image.shape == shape
    np.testing.assert_allclose(image[1, 2], expected, atol=1e-6)


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no pixels")
    with pytest.raises(CaffeError, match="text.png: it cannot be read as an image"):
        caffe.io.load_image(str(tmp_path / "text.png"))
