"""Label maps and segmentation databases by a parser: keys, sizes, going on after an interruption, and refusals."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_port.data import datum
from caffe_port.data.db import open_db
from caffe_port.errors import DataError
from caffe_port.net import Net
from caffe_port.par.datasets.drawn import Drawn
from caffe_port.par.parsing import pseudo
from caffe_port.par.parsing.evaluate import evaluate_parser
from caffe_port.par.prepare import prepare
from caffe_port.par.use.model import Model, open_model
from caffe_port.proto import load
from tests.par import nets
from tests.par.trees import picture


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parser")
    data = nets.data(folder / "data")
    net, weights = nets.parser(folder / "net", data)
    return {"data": data, "net": net, "weights": weights}


@pytest.fixture
def model(made) -> Model:
    return open_model(made["net"] / "deploy.prototxt", made["weights"])


def values(database: Path) -> dict[bytes, np.ndarray]:
    found = {}
    with open_db(database) as db:
        cursor = db.cursor()
        while cursor.key not in found:
            found[cursor.key] = np.array(datum.to_array(datum.parse(cursor.value)))
            cursor.next()
    return found


def by_hand(made, image: np.ndarray) -> np.ndarray:
    """Labels of one (3, H, W) BGR picture at the network's own size."""
    import torch

    net = Net(load.read_net(made["net"] / "deploy.prototxt"))
    net.copy_from(str(made["weights"]))
    x = image.astype(np.float32) - np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
    with torch.no_grad():
        return net(data=torch.from_numpy(x[None]))["seg_prob"][0].argmax(0).numpy()


def test_databases_have_the_pictures_keys_and_the_nets_labels(made, model, tmp_path) -> None:
    summary = pseudo.label_databases(made["data"], model, tmp_path, batch=4)
    images, labels = values(made["data"] / "test_image_lmdb"), values(tmp_path / "test_seg_lmdb")
    assert list(labels) == list(images) and summary["pictures"] == 11
    for key, image in images.items():
        np.testing.assert_array_equal(labels[key][0], by_hand(made, image))
    assert sum(summary["share_of_pixels"].values()) == pytest.approx(1, abs=1e-4)
    assert (tmp_path / pseudo.SHEET).exists() and not (tmp_path / "prepare.json").exists()


def test_in_place_replaces_and_says_so(model, tmp_path) -> None:
    data = nets.data(tmp_path / "data")
    before = values(data / "train_seg_lmdb")
    pseudo.label_databases(data, model, data)
    after = values(data / "train_seg_lmdb")
    assert list(after) == list(before) and any((after[k] != before[k]).any() for k in after)
    notes = json.loads((data / "prepare.json").read_text())["summary"]["notes"]
    assert any("segmentation predicted by" in n for n in notes) and not list(data.glob("*.new"))


def test_the_same_weights_under_another_path_are_the_same_model(model, tmp_path, monkeypatch) -> None:
    data = nets.data(tmp_path / "data")
    pseudo.label_databases(data, model, data)
    notes = (data / "prepare.json").read_text()
    monkeypatch.setattr(pseudo, "_label_split", None)  # nothing is labelled again
    pseudo.label_databases(data, replace(model, weights=os.path.relpath(model.weights)), data)
    assert (data / "prepare.json").read_text() == notes


def test_labels_of_data_that_were_prepared_anew_are_made_again(model, tmp_path) -> None:
    """Whether with other settings, or with the same after a database was lost: prepare then leaves no labels."""
    data = nets.data(tmp_path / "data")
    pseudo.label_databases(data, model, data)
    first = values(data / "train_seg_lmdb")
    shutil.rmtree(data / "train_seg_lmdb")
    nets.data(data)
    assert any((v != first[k]).any() for k, v in values(data / "train_seg_lmdb").items())
    pseudo.label_databases(data, model, data)
    assert all((v == first[k]).all() for k, v in values(data / "train_seg_lmdb").items())
    pseudo.label_databases(data, model, tmp_path / "beside")
    nets.data(data, train=4)
    for out in (data, tmp_path / "beside"):
        assert pseudo.label_databases(data, model, out)["pictures"] == 9
        assert list(values(out / "train_seg_lmdb")) == list(values(data / "train_image_lmdb"))


def test_another_data_sets_labels_are_left_alone(made, model, tmp_path) -> None:
    other = nets.data(tmp_path / "other", train=4)
    before = values(other / "train_seg_lmdb")
    for _ in range(2):
        with pytest.raises(DataError, match="does not say that it is ours"):
            pseudo.label_databases(made["data"], model, other)
    after = values(other / "train_seg_lmdb")
    assert list(after) == list(before) and all((after[k] == before[k]).all() for k in after)


def test_unfinished_data_are_refused(made, model, tmp_path) -> None:
    shutil.copytree(made["data"], tmp_path / "data")
    path = tmp_path / "data" / "prepare.json"
    path.write_text(path.read_text().replace('"finished": true', '"finished": false'))
    with pytest.raises(DataError, match="was interrupted there; the same command goes on"):
        pseudo.label_databases(tmp_path / "data", model, tmp_path / "out")


class Stops(Exception):
    pass


@pytest.mark.parametrize("kind", ["maps", "databases"])
def test_an_interrupted_run_goes_on(kind, made, model, tmp_path) -> None:
    """Whatever was done stays, and the result is that of one run."""
    calls = 0

    def stop(what: str, done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Stops

    def label(out: Path, progress=None) -> None:
        if kind == "maps":
            pseudo.label_pictures(pseudo.of_dataset(Drawn(train=4, test=3, size=(40, 20))), model, out, 2, progress)
        else:
            pseudo.label_databases(made["data"], model, out, 1, progress)

    with pytest.raises(Stops):
        label(tmp_path / "a", stop)
    assert not (tmp_path / "a" / pseudo.SHEET).exists()
    label(tmp_path / "a")
    label(tmp_path / "b")
    if kind == "maps":
        names = [p.name for p in sorted((tmp_path / "b").glob("s0_*.png"))]
        assert len(names) == 7
        for name in names:
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    else:
        a, b = (values(tmp_path / f / "train_seg_lmdb") for f in "ab")
        assert list(a) == list(b) and all((a[k] == b[k]).all() for k in a)


def test_maps_go_through_prepare(model, tmp_path) -> None:
    """Written for the data set's keys at the pictures' own size; `prepare` reads them as its segmentation_dir."""
    dataset = Drawn(train=3, test=2, size=(40, 20))
    pseudo.label_pictures(pseudo.of_dataset(dataset), model, tmp_path / "maps")
    with Image.open(tmp_path / "maps" / "s0_000001.png") as found:
        assert found.size == (20, 40) and found.mode == "P"
    bare = type("Bare", (Drawn,), {"read": lambda self, i, size=None: without(Drawn.read(self, i, size))})
    summary = prepare(bare(train=3, test=2), tmp_path / "out", size=(16, 8), segmentation_dir=tmp_path / "maps")
    assert summary["splits"]["train"]["without_segmentation"] == 0


def without(sample):
    from dataclasses import replace

    return replace(sample, segmentation=None)


def test_any_folder_of_pictures(model, tmp_path) -> None:
    for name in ("a/1.png", "b/1.png", "2.jpg"):
        picture(tmp_path / "in" / name, 1, (30, 18))
    summary = pseudo.label_pictures(pseudo.of_files([tmp_path / "in"]), model, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {"a_1.png", "b_1.png", "2.png", pseudo.SHEET}
    assert summary["pictures"] == 3 and len(summary["sha256"]) == 64


def test_two_models_do_not_mix(made, model, tmp_path) -> None:
    picture(tmp_path / "in" / "1.png", 1)
    pseudo.label_pictures(pseudo.of_files([tmp_path / "in"]), model, tmp_path / "out")
    other = nets.weights(made["net"] / "deploy.prototxt", tmp_path / "other.caffemodel", seed=5)
    with pytest.raises(DataError, match="give another folder"):
        pseudo.label_pictures(
            pseudo.of_files([tmp_path / "in"]), open_model(made["net"] / "deploy.prototxt", other), tmp_path / "out"
        )


def test_a_net_without_segmentation_is_refused(made, tmp_path) -> None:
    net, weights = nets.network(tmp_path / "net", made["data"], variant="baseline")
    picture(tmp_path / "in" / "1.png", 1)
    with pytest.raises(DataError, match="predicts no segmentation"):
        pseudo.label_pictures(
            pseudo.of_files([tmp_path / "in"]), open_model(net / "deploy.prototxt", weights), tmp_path / "out"
        )


def test_evaluation_is_that_of_the_labels(made, tmp_path) -> None:
    found = evaluate_parser(made["net"] / "train_val.prototxt", made["weights"], made["data"], batch=2)
    truth, images = values(made["data"] / "test_seg_lmdb"), values(made["data"] / "test_image_lmdb")
    hits = np.mean([(by_hand(made, images[k]) == truth[k][0]).mean() for k in truth])
    assert found.samples == 5 and found.result.pixel_accuracy == pytest.approx(hits)
    share = np.bincount(np.concatenate([v.ravel() for v in truth.values()])).max() / sum(v.size for v in truth.values())
    assert found.chance.pixel_accuracy == pytest.approx(share)
    found.save(tmp_path / "e.json")
    assert np.sum(json.loads((tmp_path / "e.json").read_text())["confusion"]) == 5 * 32 * 16
    assert "mean IoU" in found.table()
