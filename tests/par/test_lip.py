"""Look-Into-Person's layout on disk: what is read, in which split, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_port.errors import DataError
from caffe_port.par.datasets import LIP_CLASSES, open_dataset
from caffe_port.par.prepare import prepare
from tests.par.trees import picture


def write_lip(root: Path, wrapped: bool = True) -> Path:
    """Three training and two validation pictures of 40 x 20, all of one class each, in the archives' own folders."""
    images = root / "TrainVal_images" if wrapped else root
    maps = root / "TrainVal_parsing_annotations" / "TrainVal_parsing_annotations" if wrapped else root
    for split, ids in (("train", ["77_1", "77_2", "9_3"]), ("val", ["100_4", "100_5"])):
        (root / f"{split}_id.txt").write_text("\n".join(ids) + "\n\n") if not wrapped else None
        for n, name in enumerate(ids):
            picture(images / f"{split}_images" / f"{name}.jpg", n)
            folder = maps / f"{split}_segmentations"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((40, 20), n + 13, np.uint8)).save(folder / f"{name}.png")
        if wrapped:
            (images / f"{split}_id.txt").write_text("\n".join(ids) + "\n")
    return root


@pytest.mark.parametrize("wrapped", [True, False])
def test_layout(tmp_path, wrapped) -> None:
    data = open_dataset("lip", write_lip(tmp_path, wrapped))
    assert data.classes == list(LIP_CLASSES) and data.attributes == []
    assert [data.keys[i] for i in data.indices("train")] == ["77_1", "77_2", "9_3"]
    assert [data.keys[i] for i in data.indices("test")] == ["100_4", "100_5"]
    sample = data.read(1, (16, 8))
    assert sample.image.shape == (16, 8, 3) and sample.attributes.shape == (0,)
    assert (sample.segmentation == 14).all()
    assert (data.read(3).segmentation == 13).all()


def test_prepare_writes_it(tmp_path) -> None:
    summary = prepare(open_dataset("lip", write_lip(tmp_path / "lip")), tmp_path / "out", size=(16, 8))
    assert summary["splits"]["train"]["records"] == 3
    assert summary["splits"]["test"]["class_pixels"][LIP_CLASSES[13]] == 128
    assert (tmp_path / "out" / "attributes.txt").read_text() == ""


def remove(root: Path) -> None:
    next(root.rglob("77_2.png")).unlink()


def recolour(root: Path) -> None:
    Image.new("RGB", (20, 40)).save(next(root.rglob("77_1.png")))


def too_large(root: Path) -> None:
    Image.fromarray(np.full((40, 20), 20, np.uint8)).save(next(root.rglob("77_1.png")))


def resize(root: Path) -> None:
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(next(root.rglob("77_1.png")))


def twice(root: Path) -> None:
    next(root.rglob("train_id.txt")).write_text("77_1\n77_1\n")


def both(root: Path) -> None:
    next(root.rglob("val_id.txt")).write_text("77_1\n")
    for kind in ("images", "segmentations"):
        for path in root.rglob(f"train_{kind}/77_1.*"):
            target = next(root.rglob(f"val_{kind}")) / path.name
            target.write_bytes(path.read_bytes())


REFUSED = [
    (remove, "1 of 5 pictures are missing"),
    (recolour, "has mode RGB"),
    (too_large, "holds class 20"),
    (resize, "the picture is 40 x 20 and its segmentation 30 x 20"),
    (twice, "lists '77_1' twice"),
    (both, "is in train_id.txt and in val_id.txt"),
    (lambda root: next(root.rglob("val_id.txt")).unlink(), "there is no val_id.txt"),
]


@pytest.mark.parametrize(("spoil", "message"), REFUSED)
def test_refused(tmp_path, spoil, message) -> None:
    spoil(write_lip(tmp_path))
    with pytest.raises(DataError, match=message):
        open_dataset("lip", tmp_path).read(0)


def test_missing_pairs_can_be_left_out(tmp_path) -> None:
    remove(write_lip(tmp_path))
    data = open_dataset("lip", tmp_path, missing="skip")
    assert len(data.indices("train")) == 2 and "left out" in data.notes[0]
