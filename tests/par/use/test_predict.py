"""Trained networks on pictures, folders, videos: the same numbers by every way in, and what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caffe_port.cli.main import main
from caffe_port.errors import CaffeError, DataError
from caffe_port.net import Net
from caffe_port.par.pictures import colour_labels
from caffe_port.par.use.model import Prediction, Transform, open_model
from caffe_port.par.use.predict import HIGH, LINE, MARGIN, PAPER, WIDE, drawn, predict
from caffe_port.par.use.sources import files, frames, keys, upright
from caffe_port.proto import load
from tests.par import nets
from tests.par.trees import picture


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("use")
    data = nets.data(folder / "data")
    net, weights = nets.network(folder / "nets", data)
    run = folder / "run"
    run.mkdir()
    (run / "joint_iter_3.caffemodel").write_bytes(weights.read_bytes())
    (run / "run.json").write_text(json.dumps({"nets": str(net), "data": str(data)}))
    return {"data": data, "net": net, "weights": weights, "run": run}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for n in range(5):
        picture(folder / f"{n}.png", n, (48 + n, 30))
    return folder


def expected(made, image: np.ndarray) -> dict[str, np.ndarray]:
    """Of one picture at the network's size."""
    x = (image[..., ::-1].astype(np.float32) - np.array([100, 110, 120], np.float32)) * np.float32(0.02)
    net = Net(load.read_net(made["net"] / "deploy.prototxt"))
    net.copy_from(str(made["weights"]))
    with torch.no_grad():
        outputs = net(data=torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)[None])))
    return {name: value[0].numpy() for name, value in outputs.items()}


def test_from_files_and_from_a_run(made) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 16, 3), np.uint8)
    wanted = expected(made, image)
    for model in (open_model(made["run"]), open_model(made["net"] / "deploy.prototxt", made["weights"])):
        found = model.predict([image])[0]
        np.testing.assert_allclose(list(found.attributes.values()), wanted["par2_prob"], atol=1e-6)
        np.testing.assert_allclose(found.probability["par1"], wanted["par1_prob"], atol=1e-6)
        np.testing.assert_array_equal(found.labels, wanted["seg2_prob"].argmax(0))
        np.testing.assert_array_equal(found.labels_at((32, 16)), found.labels)
        assert "Female" in found.attributes and len(model.classes) == 20


def test_a_run_is_found_from_anywhere(made, tmp_path, monkeypatch) -> None:
    """run.json holds paths as they were given, and where from."""
    about = {"nets": "nets", "data": "data", "folder": str(made["net"].parent)}
    run = tmp_path / "run"
    run.mkdir()
    (run / "joint_iter_3.caffemodel").write_bytes(made["weights"].read_bytes())
    (run / "run.json").write_text(json.dumps(about))
    monkeypatch.chdir(tmp_path)
    assert "Hat" in open_model("run").attributes
    (run / "run.json").write_text(json.dumps({**about, "folder": str(tmp_path)}))
    with pytest.raises(CaffeError, match="its networks nets are not there"):
        open_model("run")


def test_onnx_gives_the_same(made, photos, tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    import converters

    path = made["run"] / "model.onnx"
    converters.convert(made["weights"], path, model=made["net"] / "deploy.prototxt")
    ours, theirs = (predict([photos], open_model(m)) for m in (made["run"], path))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(list(a["attributes"].values()), list(b["attributes"].values()), atol=2e-4)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_what_is_written(made, photos, batch, tmp_path) -> None:
    rows = predict([photos], open_model(made["run"]), tmp_path, batch=batch, threshold=0.4)
    assert [r["key"] for r in rows] == ["0", "1", "2", "3", "4"]
    assert json.loads((tmp_path / "predictions.json").read_text()) == rows
    table = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert float(table[3]["Hat"]) == rows[3]["attributes"]["Hat"]
    assert all(sum(r["parts"].values()) == pytest.approx(1, abs=0.01) for r in rows)
    for row in rows:
        assert set(row["positives"]) == {n for n, p in row["attributes"].items() if p > 0.4}
        surest = [row["attributes"][n] for n in row["positives"]]
        assert surest == sorted(surest, reverse=True)
        assert (tmp_path / f"{row['key']}.png").stat().st_size > 500


def test_the_batch_does_not_matter(made, photos) -> None:
    model = open_model(made["run"])
    one, all_ = predict([photos], model, batch=1), predict([photos], model, batch=16)
    for a, b in zip(one, all_, strict=True):
        np.testing.assert_allclose(list(a["attributes"].values()), list(b["attributes"].values()), atol=2e-4)


def test_video(made, tmp_path) -> None:
    cv2 = pytest.importorskip("cv2")
    film = cv2.VideoWriter(str(tmp_path / "walk.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 64))
    for n in range(6):
        film.write(np.full((64, 32, 3), 40 * n, np.uint8))
    film.release()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "walk.avi").write_bytes((tmp_path / "walk.avi").read_bytes())
    rows = predict([tmp_path / "walk.avi"], open_model(made["run"]), tmp_path / "out", every=2)
    assert [r["key"] for r in rows] == ["walk_000000", "walk_000002", "walk_000004"]
    assert [r["time"] for r in rows] == [0, 0.2, 0.4]
    again = list(frames(tmp_path / "out" / "walk.mp4", "made"))
    assert [p.time for p in again] == pytest.approx([0, 0.2, 0.4], abs=1e-3)  # as long as the video that it shows
    predict([tmp_path], open_model(made["run"]), tmp_path / "two")  # two videos of one name are two
    wanted = {f"{folder}_walk.mp4" for folder in (tmp_path.name, "b", "out")}
    assert {p.name for p in (tmp_path / "two").glob("*.mp4")} == wanted


def test_one_that_cannot_be_read_does_not_stop_the_others(made, photos, tmp_path, capsys) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for photo in photos.iterdir():
        (folder / photo.name).write_bytes(photo.read_bytes())
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes()[:300])
    (folder / "2b.mp4").write_text("no video")
    (folder / "a.png").write_text("no picture")
    out = f"--out={tmp_path / 'out'}"
    assert main(["par", "predict", str(folder), f"--model={made['run']}", out, "--batch=2"]) == 1
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {r["key"] for r in rows if "attributes" in r} == {"0", "2", "3", "4"}
    assert {r["key"] for r in rows if "error" in r} == {"1", "2b", "a"}
    table = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    assert [bool(line["error"]) for line in table] == ["error" in r for r in rows] and len(table) == 7
    said = capsys.readouterr().err
    assert all(f"left out: {folder / name}" in said for name in ("1.png", "2b.mp4", "a.png"))


def stored(kind: str, path: Path) -> np.ndarray:
    """Writes a picture in one of the forms that cameras and programs leave; how it is to be seen, (H, W, 3)."""
    grey = np.linspace(0, 255, 6 * 4, dtype=np.uint8).reshape(6, 4)
    seen = np.repeat(grey[..., None], 3, -1)
    if kind == "grey":
        Image.fromarray(grey).save(path)
    elif kind == "two tones":
        Image.fromarray(grey > 99).save(path)
        return np.repeat((grey > 99)[..., None], 3, -1) * np.uint8(255)
    elif kind == "sixteen bits":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif kind == "transparent":
        alpha = np.where(np.arange(6) < 3, 255, 0)[:, None] * np.ones(4, int)
        Image.fromarray(np.dstack([seen, alpha.astype(np.uint8)])).save(path)
        seen = np.where(alpha[..., None] > 0, seen, 255).astype(np.uint8)
    elif kind == "turned by EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6  # stored lying on its side; a viewer turns it by 90 degrees clockwise
        Image.fromarray(np.rot90(seen)).save(path, exif=exif)
    else:
        Image.fromarray(grey if kind == "palette" else seen).convert({"palette": "P", "ink": "CMYK"}[kind]).save(path)
    return seen


FORMS = [("grey", ".png"), ("two tones", ".png"), ("sixteen bits", ".png"), ("transparent", ".png"),
         ("turned by EXIF", ".png"), ("palette", ".png"), ("ink", ".tif")]  # fmt: skip


@pytest.mark.parametrize(("kind", "suffix"), FORMS)
def test_pictures_are_read_as_they_are_seen(kind, suffix, tmp_path) -> None:
    wanted = stored(kind, tmp_path / f"one{suffix}")
    found = upright(tmp_path / f"one{suffix}")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)


def test_too_large_to_be_safe(tmp_path, monkeypatch) -> None:
    picture(tmp_path / "wall.png", 0, (40, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # Pillow refuses twice as many
    with pytest.raises(DataError, match="too large to be read safely"):
        upright(tmp_path / "wall.png")


@pytest.mark.parametrize("size", [(48, 30), (4, 900), (900, 4)])
def test_no_view_grows_beyond_its_place(made, size) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    shown = drawn(image, open_model(made["run"]).predict([image])[0])
    assert shown.shape[0] == HIGH and shown.shape[1] < 4 * WIDE


SHOWN = [  # rows of each class, HIGH in all
    ({0: 200, 5: 100, 13: 84}, [0, 5, 13]),
    ({c: 20 if c < 4 else 19 for c in range(20)}, [*range(20)]),  # all of Look-Into-Person's have room
    ({c: 18 if c > 10 else 4 if c > 1 else 3 for c in range(30)}, [*range(11, 30)]),  # of more the largest
]


@pytest.mark.parametrize(("high", "wanted"), SHOWN)
def test_the_key_has_the_colours_of_the_classes_shown(high, wanted) -> None:
    rows, count = np.repeat(list(high), list(high.values())), max(20, len(high))
    scores = np.eye(count, dtype=np.float32)[np.repeat(rows[:, None], 40, 1)].transpose(2, 0, 1)
    picture = np.full((len(rows), 40, 3), 90, np.uint8)
    bare = drawn(picture, Prediction([], {}, {}))
    shown = drawn(picture, Prediction([], {}, {"seg2": scores}))
    key = shown[:, 3 * bare.shape[1] :]
    spots = key[MARGIN : MARGIN + LINE * len(wanted) : LINE, MARGIN]
    np.testing.assert_array_equal(spots, colour_labels(np.array(wanted)))
    assert (key[MARGIN + LINE * len(wanted) :, MARGIN] == PAPER).all(-1).mean() > 0.9


def test_every_frame_of_a_film_is_as_wide() -> None:
    """Whatever classes it shows: a film has one size."""
    picture, scores = np.full((40, 20, 3), 90, np.uint8), np.zeros((2, 20, 40, 20), np.float32)
    scores[0, 0], scores[1, 5] = 1, 1
    one, other = (drawn(picture, Prediction([], {}, {"seg2": s})) for s in scores)
    assert one.shape == other.shape and (one != other).any()


def test_parser_has_parts_only(made, photos, tmp_path) -> None:
    net, weights = nets.parser(tmp_path / "net", made["data"])
    rows = predict([photos], open_model(net / "deploy.prototxt", weights), tmp_path / "out")
    assert set(rows[0]) == {"key", "path", "parts"} and (tmp_path / "out" / "0.png").exists()


def test_transform() -> None:
    image = np.zeros((4, 2, 3), np.uint8)
    image[..., 0] = 10
    out = Transform((4, 2), (1, 2, 3), 0.5)([image])
    np.testing.assert_allclose(out[0, :, 0, 0], [-0.5, -1, 3.5])  # blue, green, red


KEYS = [
    (["a/1.jpg", "b/1.jpg"], ["a_1", "b_1"]),
    (["a/1.jpg", "a/1.png"], ["a_1", "a_1_2"]),
    (["x/1.jpg", "x/2.jpg"], ["1", "2"]),
]


@pytest.mark.parametrize(("paths", "wanted"), KEYS)
def test_keys(paths, wanted) -> None:
    assert keys([Path(p) for p in paths]) == wanted


def test_refused(made, photos, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "bad.png").write_text("not a picture")
    cases = [
        (lambda: files([tmp_path / "none.jpg"]), DataError, "there is no such picture"),
        (lambda: files([tmp_path / "empty"]), DataError, "holds no picture or video"),
        (lambda: files([tmp_path / "notes.txt"]), DataError, "neither a picture nor a video"),
        (lambda: upright(tmp_path / "bad.png"), DataError, "cannot be read as a picture"),
        (lambda: upright(tmp_path / "none.png"), DataError, "there is no such picture"),
        (lambda: open_model(tmp_path / "m.onnx"), CaffeError, "there is no such model"),
        (lambda: open_model(tmp_path / "empty"), CaffeError, "holds no run.json"),
        (lambda: open_model(made["net"] / "deploy.prototxt"), CaffeError, "give its weights too"),
        (lambda: open_model(made["net"] / "train_val.prototxt"), CaffeError, "give its weights too"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message):
            call()
    alone = tmp_path / "deploy.prototxt"
    alone.write_text((made["net"] / "deploy.prototxt").read_text())
    with pytest.raises(CaffeError, match="name it with --net"):
        open_model(alone, made["weights"])
