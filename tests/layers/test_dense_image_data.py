"""DenseImageData: SegNet's own ways; test_image_seg_data.py has what it shares with ImageSegData."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_port.errors import CaffeError
from caffe_port.layers.base import TEST, TRAIN
from tests.layers.data_layer import make, tops
from tests.layers.label_maps import PICTURES, dense, wanted, which, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_it_cuts_and_mirrors_in_both_phases(phase: int, folder: Path) -> None:
    layer = make(dense(3, "crop_height: 5 crop_width: 4 mirror: true", "mean_value: 1"), phase)
    can = [wanted(p, 1, (5, 4), [1, 1, 1], 0) for p in PICTURES]
    seen: list[set] = [set(), set(), set()]
    for _ in range(400):
        data, labels = tops(layer)
        for i in range(3):
            seen[i] |= set(which([data[i], labels[i, 0]], can[i]) or [-1])
    assert seen == [set(range(len(c))) for c in can]


@pytest.mark.parametrize(("text", "message"), [
    (dense(transform="mirror: true"), "mirror and the crop belong into dense_image_data_param"),
    (dense(more='mean_file: "m"'), "never reads dense_image_data_param's mean_file"),
    (dense(more="crop_height: 6 crop_width: 6"), "smaller than crop_size 6 x 6"),
    (dense(0), "batch_size must be given"),
])
def test_refused(text: str, message: str, folder: Path) -> None:
    with pytest.raises(CaffeError, match=message) as caught:
        make(text)
    assert "layer 'd'" in str(caught.value)
