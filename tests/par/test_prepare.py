"""From samples to three LMDBs: what the records hold, that runs resume, and that wrong samples are named."""

from __future__ import annotations

import io
import json
import shutil

import lmdb
import numpy as np
import pytest
from PIL import Image

from caffe_port.errors import DataError
from caffe_port.par import prepare as module
from caffe_port.par.datasets.base import Dataset, Sample
from caffe_port.par.datasets.drawn import Drawn
from caffe_port.par.prepare import prepare
from caffe_port.proto import caffe_pb2

SIZE = (32, 16)
PARTS = ("image", "attr", "seg")


class Made(Dataset):
    """Five attributes, three classes; `harm` changes a sample before it is given out."""

    def __init__(self, records=30, harm=None, segmented=True):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 2, (records, 5)).astype(np.uint8)
        labels[:, 4] = 0
        splits = {"train": np.arange(records - 8), "test": np.arange(records - 8, records)}
        names = ["a", "b", "c", "d", "never"]
        super().__init__("made", names, ["x", "y", "z"], [f"im{i}" for i in range(records)], labels, splits)
        self.harm, self.segmented, self.reads = harm, segmented, 0

    def read(self, index, size=None):
        self.reads += 1
        rng = np.random.default_rng(index)
        image, labels = rng.integers(0, 256, (48, 24, 3), np.uint8), rng.integers(0, 3, (48, 24)).astype(np.uint8)
        sample = Sample(self.keys[index], image, self.labels[index], labels if self.segmented else None)
        sample = sample.resized(size) if size else sample
        return self.harm(index, sample) if self.harm else sample


def records(out, split, part):
    with lmdb.open(str(out / f"{split}_{part}_lmdb"), readonly=True, lock=False) as env, env.begin() as txn:
        return {key: caffe_pb2.Datum.FromString(value) for key, value in txn.cursor()}


def everything(out):
    return {(s, p): {k: d.SerializeToString() for k, d in records(out, s, p).items()}
            for s in ("train", "test") for p in PARTS}  # fmt: skip


def test_records(tmp_path):
    d = Made()
    summary = prepare(d, tmp_path, SIZE)
    for split, count in (("train", 22), ("test", 8)):
        image, attr, seg = (records(tmp_path, split, part) for part in PARTS)
        assert list(image) == list(attr) == list(seg) and len(image) == count
        seen = []
        for position, key in enumerate(image):
            number, name = key.decode().split("_")
            assert int(number) == position and len(number) == 8
            index = d.keys.index(name)
            seen.append(index)
            sample = d.read(index, SIZE)
            i, a, s = image[key], attr[key], seg[key]
            assert (i.channels, i.height, i.width, i.encoded) == (3, 32, 16, False)
            planes = np.frombuffer(i.data, np.uint8).reshape(3, 32, 16)
            np.testing.assert_array_equal(planes, sample.image.transpose(2, 0, 1)[::-1])  # BGR
            assert (a.channels, a.height, a.width) == (5, 1, 1) and a.data == d.labels[index].tobytes()
            assert (s.channels, s.height, s.width) == (1, 32, 16) and s.data == sample.segmentation.tobytes()
        assert sorted(seen) == d.splits[split].tolist() and seen != sorted(seen)
    assert summary["splits"]["train"]["records"] == 22


def test_lists_and_summary(tmp_path):
    d = Made()
    summary = prepare(d, tmp_path, SIZE)
    train = summary["splits"]["train"]
    rates = dict(line.split(",") for line in (tmp_path / "positive_rates.txt").read_text().splitlines())
    assert list(rates) == d.attributes == (tmp_path / "attributes.txt").read_text().split()
    np.testing.assert_allclose([float(v) for v in rates.values()], d.labels[:22].mean(0), rtol=1e-15)
    assert (tmp_path / "classes.txt").read_text().split() == ["x", "y", "z"]
    pixels = np.concatenate([d.read(i, SIZE).image.reshape(-1, 3) for i in range(22)])
    np.testing.assert_allclose(train["mean_bgr"], pixels.mean(0)[::-1], atol=1e-4)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "mean_bgr.txt"), train["mean_bgr"])
    assert sum(train["class_pixels"].values()) == 22 * 32 * 16
    assert any("never" in note for note in summary["notes"])
    manifest = json.loads((tmp_path / "prepare.json").read_text())
    assert manifest["finished"] and manifest["summary"] == summary


@pytest.mark.parametrize("encoding, off", [("png", 0), ("jpeg", 40)])
def test_encoded(tmp_path, encoding, off):
    d = Drawn(train=3, test=1)
    prepare(d, tmp_path, (64, 32), encoding=encoding)
    for key, datum in records(tmp_path, "train", "image").items():
        index = d.keys.index(key.decode().split("_", 1)[1])
        decoded = np.asarray(Image.open(io.BytesIO(datum.data))).astype(int)
        assert datum.encoded and np.abs(decoded - d.read(index, (64, 32)).image).max() <= off


@pytest.mark.parametrize("stop", [1, 9, 17, 22, 27])
def test_interrupted_runs_go_on(tmp_path, stop, monkeypatch):
    monkeypatch.setattr(module, "COMMIT_EVERY", 4)
    whole = prepare(Made(), tmp_path / "whole", SIZE)

    def interrupt(split, done, total):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    left = stop
    with pytest.raises(KeyboardInterrupt):
        prepare(Made(), tmp_path / "parts", SIZE, progress=interrupt)
    assert not json.loads((tmp_path / "parts" / "prepare.json").read_text())["finished"]
    d = Made()
    assert prepare(d, tmp_path / "parts", SIZE) == whole
    assert d.reads < 30 or stop < 5  # it did go on
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")
    again = Made()
    assert prepare(again, tmp_path / "parts", SIZE) == whole and again.reads == 0


def test_a_database_that_was_taken_away_is_made_again(tmp_path):
    whole = prepare(Made(), tmp_path, SIZE)
    before = everything(tmp_path)
    shutil.rmtree(tmp_path / "test_seg_lmdb")
    d = Made()
    assert prepare(d, tmp_path, SIZE) == whole and everything(tmp_path) == before
    assert d.reads == 8  # the test split only


@pytest.mark.parametrize("change", [{"size": (16, 8)}, {"seed": 1}, {"encoding": "png"}, {"limit": 5}])
def test_other_parameters_start_anew(tmp_path, change):
    prepare(Made(), tmp_path, SIZE)
    prepare(Made(), tmp_path, **{"size": SIZE, **change})
    prepare(Made(), tmp_path / "fresh", **{"size": SIZE, **change})
    assert everything(tmp_path) == everything(tmp_path / "fresh")


def test_limit_and_splits(tmp_path):
    summary = prepare(Made(), tmp_path, SIZE, limit={"train": 6})
    assert [summary["splits"][s]["records"] for s in ("train", "test")] == [6, 8]
    only = prepare(Made(), tmp_path / "only", SIZE, splits=["test"])
    assert list(only["splits"]) == ["test"] and not (tmp_path / "only" / "train_image_lmdb").exists()


def test_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "train_attr_lmdb").mkdir()
    with pytest.raises(DataError, match="train_attr_lmdb exists, but .*prepare.json does not say"):
        prepare(Made(), tmp_path, SIZE)
    (tmp_path / "prepare.json").write_text("{")
    with pytest.raises(DataError, match="prepare.json is damaged"):
        prepare(Made(), tmp_path, SIZE)


def test_segmentation_from_a_folder(tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    d = Made(segmented=False)
    for key in d.keys:
        Image.fromarray(np.full((8, 4), len(key) % 3, np.uint8)).save(maps / f"{key}.png")
    summary = prepare(d, tmp_path / "with", SIZE, segmentation_dir=maps)
    assert summary["splits"]["train"]["without_segmentation"] == 0
    for key, datum in records(tmp_path / "with", "test", "seg").items():
        assert set(datum.data) == {len(key.decode().split("_")[1]) % 3}
    without = prepare(d, tmp_path / "without", SIZE)
    assert without["splits"]["test"]["without_segmentation"] == 8
    assert set(next(iter(records(tmp_path / "without", "test", "seg").values())).data) == {255}
    (maps / "im29.png").unlink()
    with pytest.raises(DataError, match="label map .*im29.png is missing"):
        prepare(d, tmp_path / "gap", SIZE, segmentation_dir=maps)
    Image.new("RGB", (4, 8)).save(maps / "im29.png")
    with pytest.raises(DataError, match="has mode RGB"):
        prepare(d, tmp_path / "rgb", SIZE, segmentation_dir=maps)


def at_7(change):
    return lambda index, s: Sample(s.key, *change(s)) if index == 7 else s


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: (s.image, s.attributes[:4], s.segmentation), "'im7' has 4 attributes; the data set has 5"),
        (lambda s: (s.image, s.attributes * 0 + 3, s.segmentation), "'im7' has an attribute of 3"),
        (lambda s: (s.image, s.attributes, s.segmentation + 5), "'im7': the segmentation has class [567]; there are 3"),
        (lambda s: (s.image, s.attributes, s.segmentation[:20]), r"'im7': picture \(32, 16, 3\) .* \(20, 16\)"),
    ],
)
def test_wrong_samples_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        prepare(Made(harm=at_7(change)), tmp_path, SIZE)
    assert (tmp_path / "train_image_lmdb" / ".unfinished").exists()  # no reader takes it for whole


def test_label_counts_that_disagree():
    class Short(Made):
        def __post_init__(self):
            self.labels = self.labels[:, :3]
            super().__post_init__()

    with pytest.raises(DataError, match="labels are 30 x 3, but there are 30 records and 5 attributes"):
        Short()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"encoding": "webp"}, "encoding is 'webp'"),
        ({"splits": ["train", "train"]}, "name each once"),
        ({"splits": []}, "at least one"),
        ({"splits": ["dev"]}, "no split 'dev'; it has train, test"),
        ({"size": (0, 16)}, "must be positive"),
        ({"limit": 0}, "no record to write"),
    ],
)
def test_refusals(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        prepare(Made(), tmp_path, **{"size": SIZE, **options})


def test_several_processes_write_the_same(tmp_path):
    for workers in (1, 2):
        prepare(Drawn(train=9, test=6), tmp_path / str(workers), SIZE, workers=workers)
    assert everything(tmp_path / "1") == everything(tmp_path / "2")
    with pytest.raises(DataError, match="'im7' has 4 attributes"):
        wrong = Made(harm=at_7(lambda s: (s.image, s.attributes[:4], s.segmentation)))
        prepare(wrong, tmp_path / "wrong", SIZE, workers=2)
