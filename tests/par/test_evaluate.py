"""Evaluation of the golden network on the golden databases, against the same measures computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.data.db import create_db, open_db
from caffe_port.errors import CaffeError
from caffe_port.net import Net
from caffe_port.par.evaluate import Evaluation, evaluate
from caffe_port.par.network import generate
from caffe_port.proto import caffe_pb2, text

GOLDEN = Path(__file__).parents[2] / "tests/golden/hmt"
WEIGHTS = GOLDEN / "stage1_adam/final.caffemodel"


def write_net(folder: Path, **knobs) -> Path:
    settings = {
        "classes": 5, "width": 8, "size": (64, 32), "loss": "original", "scale": 0.017, "train_images": 16,
        "test_images": 16, "sources": f"{GOLDEN}/{{kind}}_lmdb", **knobs,
    }  # fmt: skip
    attributes = settings.pop("attributes", 6)
    for name, content in generate("golden", attributes, **settings).items():
        (folder / name).write_text(content)
    return folder / "train_val.prototxt"


def records(kind: str) -> list[tuple[bytes, bytes]]:
    found = []
    with open_db(GOLDEN / f"{kind}_lmdb") as db:
        cursor = db.cursor()
        while not found or not cursor.next():
            found.append((cursor.key, bytes(cursor.value)))
    return found


def datums(kind: str) -> list[np.ndarray]:
    read = [caffe_pb2.Datum.FromString(value) for _, value in records(kind)]
    return [np.frombuffer(d.data, np.uint8).reshape(d.channels, d.height, d.width) for d in read]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def result(model) -> Evaluation:
    return evaluate(model, WEIGHTS, batch=5, pictures=3)


def by_hand(model: Path) -> dict[str, np.ndarray]:
    """All records through the deploy net at once."""
    net = Net(text.read(model.with_name("deploy.prototxt"), caffe_pb2.NetParameter).message)
    net.copy_from(str(WEIGHTS))
    mean = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)
    x = np.stack([(image - mean) * np.float32(0.017) for image in datums("image")])
    with torch.no_grad():
        return {name: value.numpy() for name, value in net(data=torch.from_numpy(x)).items()}


def test_measures_are_those_computed_by_hand(model, result) -> None:
    outputs, truth = by_hand(model), np.stack(datums("attr"))[:, :, 0, 0] == 1
    labels = np.stack(datums("seg"))[:, 0]
    assert result.samples == len(truth)
    for number in (1, 2):
        says = outputs[f"par{number}_prob"] > 0.5
        np.testing.assert_allclose(result.probabilities[number], outputs[f"par{number}_prob"], atol=1e-5)
        both = [(a, b) for a, b in zip(says.T, truth.T, strict=True) if 0 < b.sum() < len(b)]
        ma = np.mean([(a[b].mean() + (~a[~b]).mean()) / 2 for a, b in both])
        union = (says | truth).sum(1)
        accuracy = np.mean(np.where(union > 0, (says & truth).sum(1) / np.maximum(union, 1), 0))
        stage = result.stages[number]
        assert (stage.attributes.mA, stage.attributes.accuracy) == pytest.approx((ma, accuracy))
        predicted = outputs[f"seg{number}_prob"].argmax(1)
        assert stage.segmentation is not None
        assert stage.segmentation.pixel_accuracy == pytest.approx((predicted == labels)[labels != 255].mean())


def test_chance_is_half_and_the_commonest_class(result) -> None:
    labels = np.stack(datums("seg"))[:, 0]
    share = np.bincount(labels[labels != 255]).max() / (labels != 255).sum()
    assert result.chance.attributes.mA == 0.5 and result.rates_of == "this split"
    assert result.chance.segmentation is not None
    assert result.chance.segmentation.pixel_accuracy == pytest.approx(share)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_batch_does_not_matter(model, result, batch) -> None:
    other = evaluate(model.with_name("deploy.prototxt"), WEIGHTS, batch=batch)
    assert other.samples == result.samples
    for number in (1, 2):
        np.testing.assert_allclose(other.probabilities[number], result.probabilities[number], atol=2e-5)
        assert other.stages[number].segmentation == result.stages[number].segmentation


def test_pictures_are_the_records(result, tmp_path) -> None:
    images, truth = datums("image"), np.stack(datums("attr"))[:, :, 0, 0]
    kept = result.pictures
    assert kept["image"].shape == (3, 64, 32, 3) and kept["seg2"].shape == (3, 64, 32)
    assert kept["par1_map"].shape == (3, 6, 8, 4) and kept["att_y"].shape == (3, 6, 4, 2)
    for i, index in enumerate(kept["index"].tolist()):
        np.testing.assert_array_equal(kept["image"][i], images[index][::-1].transpose(1, 2, 0))
        np.testing.assert_array_equal(kept["truth"][i], truth[index])
        np.testing.assert_allclose(kept["prob2"][i], result.probabilities[2][index], atol=1e-6)
    np.testing.assert_allclose(kept["att_y"].mean((2, 3)), np.log(kept["prob2"] / (1 - kept["prob2"])), atol=1e-3)
    result.save_pictures(tmp_path / "pictures.npz")
    assert set(np.load(tmp_path / "pictures.npz")) == set(kept)


def test_json_and_table(result, tmp_path) -> None:
    result.save(tmp_path / "evaluation.json")
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["stages"]["2"]["attributes"]["mA"] == pytest.approx(result.stages[2].attributes.mA)
    assert len(content["attributes"]) == 6 and content["samples"] == result.samples
    assert "stage 2" in result.table() and "chance" in result.table()


@pytest.mark.parametrize(("variant", "heads"), [("baseline", {2: False}), ("multitask", {2: True})])
def test_one_stage_variants(tmp_path, variant, heads) -> None:
    model = write_net(tmp_path, variant=variant)
    net = Net(text.read(tmp_path / "deploy.prototxt", caffe_pb2.NetParameter).message)
    for layer in net.layers:
        if type(layer).__name__ == "BatchNorm":  # variances of 1, as after training; they start at 0
            for blob in layer.blobs[1:]:
                blob.fill_(1)
    net.save(str(tmp_path / "start.caffemodel"))
    found = evaluate(model, tmp_path / "start.caffemodel", limit=4)
    assert {n: s.segmentation is not None for n, s in found.stages.items()} == heads and found.samples == 4


def shifted(folder: Path) -> str:
    """A copy of the attribute database without its last record."""
    with create_db(folder / "attr_lmdb") as out:
        for key, value in records("attr")[:-1]:
            out.put(key, value)
    return str(folder / "attr_lmdb")


def test_keys_that_disagree_are_refused(tmp_path) -> None:
    model = write_net(tmp_path)
    model.write_text(model.read_text().replace(f"{GOLDEN}/attr_lmdb", shifted(tmp_path)))
    with pytest.raises(CaffeError, match="differ in their keys from record"):
        evaluate(model, WEIGHTS)


def test_other_refusals(tmp_path) -> None:
    model = write_net(tmp_path, attributes=7)
    Net(text.read(tmp_path / "deploy.prototxt", caffe_pb2.NetParameter).message).save(str(tmp_path / "w.caffemodel"))
    with pytest.raises(CaffeError, match="holds 6 attributes, the net predicts 7"):
        evaluate(model, tmp_path / "w.caffemodel")
    model.unlink()
    with pytest.raises(CaffeError, match="no train_val.prototxt beside it"):
        evaluate(tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel")
    other = tmp_path / "train_val.prototxt"
    other.write_text(f'layer {{ name: "d" type: "Data" top: "data" data_param {{ source: "{GOLDEN}/image_lmdb" '
                     "batch_size: 2 backend: LMDB } }")
    with pytest.raises(CaffeError, match="no blob par1_logit"):
        evaluate(other, tmp_path / "w.caffemodel")
    with pytest.raises(CaffeError, match="no such database"):
        evaluate(write_net(tmp_path), WEIGHTS, data=tmp_path / "nowhere")
