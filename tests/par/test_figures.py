"""Figures 4 and 5: sizes, greys, and what is drawn for variants that lack a part."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFont

from caffe_port.errors import DataError
from caffe_port.par.figures import HIGH, figure4, grey_labels, grey_map, wrapped, write_figures

NAMES = ["Hat", "Bag", "Coat"]


def kept(stages: int = 2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    out = {
        "image": random.integers(0, 256, (2, 32, 16, 3), np.uint8),
        "truth": np.array([[1, 0, 0], [0, 0, 1]], np.uint8),
    }
    out |= {"prob2": random.random((2, 3)), "par2_map": random.normal(size=(2, 3, 2, 1))}
    if stages == 2:
        out |= {"par1_map": random.normal(size=(2, 3, 4, 2)), "att_y": random.normal(size=(2, 3, 2, 1))}
        out |= {name: random.integers(0, 20, (2, 32, 16), np.uint8) for name in ("seg", "seg1", "seg2")}
    return out


def test_grey_is_darker_where_less_likely() -> None:
    drawn = grey_map(np.array([[-3.0], [5.0]]), (32, 16))
    assert drawn.shape == (32, 16, 3) and drawn[0, 0, 0] == 0 and drawn[-1, 0, 0] == 255
    assert (grey_map(np.full((2, 1), 4.0), (8, 4)) == 0).all()


def test_labels_in_grey() -> None:
    found = grey_labels(np.array([[0, 19, 255, 10]], np.uint8), 20)[0, :, 0]
    np.testing.assert_array_equal(found, [0, 255, 128, 134])


@pytest.mark.parametrize(("stages", "files"), [(2, ["figure4.png", "figure5.png"]), (1, ["figure5.png"])])
def test_files(tmp_path, stages, files) -> None:
    made = write_figures(kept(stages), NAMES, [0.1, 0.2, 0.3], 20, tmp_path, maps=2)
    assert [p.name for p in made] == files
    with Image.open(tmp_path / "figure5.png") as picture:
        tiles = 1 + (3 if stages == 2 else 0)
        assert picture.height > 2 * HIGH and picture.width > tiles * HIGH // 2


def test_figure4_leaves_out_pictures_without_truth() -> None:
    both = kept()
    one = both["seg"].copy()
    one[1] = 255
    assert figure4(both["image"], one).shape[1] < figure4(both["image"], both["seg"]).shape[1]


CAPTIONS = [
    ("Sunglasses", 300, ["Sunglasses"]),
    ("upperBodyShortSleeve (absent)", 77, ["upperBody", "ShortSleeve", "(absent)"]),
    ("action-CarrybyHand", 77, ["action-", "CarrybyHand"]),
    ("truth", 300, ["truth"]),
    ("", 300, []),
]


@pytest.mark.parametrize(("words", "width", "lines"), CAPTIONS)
def test_captions_are_broken_not_cut(words, width, lines) -> None:
    assert wrapped(words, width, ImageFont.load_default(12)) == lines


@pytest.mark.parametrize("width", [12, 30, 55])
def test_captions_fit(width) -> None:
    font = ImageFont.load_default(12)
    lines = wrapped("lowerBodyShortSkirt of x", width, font)
    assert "".join(lines).replace(" ", "") == "lowerBodyShortSkirtofx"
    assert all(font.getlength(line) <= width for line in lines)


def test_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="no picture to draw"):
        write_figures({}, NAMES, [0.1, 0.2, 0.3], 20, tmp_path)
