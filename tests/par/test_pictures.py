"""Colours, overlays, heat maps and sheets: sizes, ends of scales, and files that a browser reads."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from caffe_port.par import pictures


def test_palette_is_distinguishable():
    colours = pictures.PALETTE.astype(int)
    gaps = [np.abs(a - b).sum() for i, a in enumerate(colours) for b in colours[:i]]
    assert len(colours) == 20 and min(gaps) >= 60
    labels = np.array([[0, 13], [255, 58]], np.uint8)
    out = pictures.colour_labels(labels)
    assert out.shape == (2, 2, 3) and tuple(out[0, 1]) == tuple(pictures.PALETTE[13])
    assert len({tuple(c) for c in out.reshape(-1, 3).tolist()}) == 4


def test_overlay_dims_the_background():
    image = np.full((2, 2, 3), 200, np.uint8)
    out = pictures.overlay(image, np.array([[0, 5], [255, 5]], np.uint8))
    assert (out[0, 0] == 120).all() and (out[1, 0] == 120).all() and not (out[0, 1] == 120).all()


def test_heatmap():
    out = pictures.heatmap(np.array([[0.0, 1.0, np.nan]]))
    assert out[0, 0, 2] > out[0, 0, 0] and out[0, 1, 0] > out[0, 1, 2] and len(set(out[0, 2].tolist())) <= 2
    assert (pictures.heatmap(np.ones((3, 2))) == pictures.heatmap(np.ones((3, 2)))[0, 0]).all()
    assert pictures.heatmap(np.full((1, 1), np.nan)).shape == (1, 1, 3)


def test_png_and_sheet(tmp_path):
    pairs = [(np.full((10, 5, 3), i, np.uint8), np.full((10, 5), i, np.uint8) if i else None) for i in range(5)]
    sheet = pictures.contact_sheet(pairs, columns=2, height=20, gap=1)
    assert sheet.shape == (3 * 21 + 1, 2 * 31 + 1, 3)
    uri = pictures.to_data_uri(sheet)
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), sheet)
    pictures.save_png(tmp_path / "s.png", sheet)
    assert (tmp_path / "s.png").read_bytes() == pictures.png(sheet)
    assert pictures.contact_sheet([]).size


def test_blend_and_enlarge():
    image = np.zeros((8, 4, 3), np.uint8)
    heat = pictures.heatmap(np.arange(4.0).reshape(2, 2))
    assert pictures.blend(image, heat).shape == (8, 4, 3)
    assert pictures.enlarge(image, 24).shape == (24, 12, 3)


@pytest.mark.parametrize("width", [120, 400])
def test_a_legend_shows_each_class_in_its_colour(width) -> None:
    page = pictures.legend({0: "background", 5: "upper-clothes", 9: "pants"}, width)
    assert page.shape[1] == width
    for number in (0, 5, 9):
        assert (page == pictures.PALETTE[number]).all(-1).sum() >= 14 * 14, number
    assert not (page == pictures.PALETTE[6]).all(-1).any()
