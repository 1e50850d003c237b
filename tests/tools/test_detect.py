"""detect: windows of images in, a prediction for each out."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import caffe_port.pycaffe as caffe
from caffe_port import log
from tests.tools.scripts import GOLDEN, load

IMAGES = sorted((GOLDEN / "tools" / "images").glob("*.png"))[:2]
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 3 dim: 10 dim: 10 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.002 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
WINDOWS = {IMAGES[0]: [[0, 1, 9, 12], [2, 0, 14, 11]], IMAGES[1]: [[1, 3, 7, 8], [0, 0, 5, 5]]}
FLAGS = ("--model_def=net.prototxt", "--pretrained_model=net.caffemodel")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    caffe.Net("net.prototxt", caffe.TEST).save("net.caffemodel")
    lines = [  # columns in another order, the windows of one image not together
        f"{left}, {top},{right},{bottom},{path}"
        for one in range(2) for path, of in WINDOWS.items() for top, left, bottom, right in [of[one]]
    ]  # fmt: skip
    Path("in.csv").write_text("\n".join(["xmin, ymin, xmax, ymax, filename", *lines]))


def detect(*argv: str, together: int = 256) -> int:
    module = load("detect")
    module.TOGETHER = together
    log.redirect(sys.stdout)
    try:
        return module.tool.run(module.main, argv)
    finally:
        log.redirect(None)


def wanted(**options: Any) -> list[tuple[str, list[int], np.ndarray]]:
    net = caffe.Detector("net.prototxt", "net.caffemodel", **options)
    found = net.detect_windows([(str(path), windows) for path, windows in WINDOWS.items()])
    return [(one["filename"], one["window"], one["prediction"]) for one in found]


DEFAULT = dict(raw_scale=255.0, channel_swap=(2, 1, 0), context_pad=16)
MEAN = np.arange(300, dtype=np.float32).reshape(3, 10, 10)
CASES = [
    ("context and a mean", ("--context_pad=2", "--mean_file=mean.npy"),
     dict(DEFAULT, context_pad=2, mean=MEAN.mean((1, 2)))),
    ("no context, no swap", ("--context_pad=0", "--channel_swap=", "--raw_scale=100", "--input_scale=0.5"),
     dict(raw_scale=100.0, input_scale=0.5)),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "options"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
@pytest.mark.parametrize("together", [256, 2])
def test_every_window_gets_its_prediction(flags: tuple[str, ...], options: dict, together: int) -> None:
    np.save("mean.npy", MEAN)
    assert detect("in.csv", "out.csv", "--crop_mode=list", *FLAGS, *flags, together=together) == 0
    with Path("out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["filename", "ymin", "xmin", "ymax", "xmax", "class0", "class1", "class2", "class3"]
    expected = wanted(**options)
    assert [(row[0], [int(n) for n in row[1:5]]) for row in rows] == [(name, window) for name, window, _ in expected]
    np.testing.assert_allclose(np.array([row[5:] for row in rows], float), [p for *_, p in expected], rtol=1e-6)


def test_hdf5(capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py", reason="an optional package")
    assert detect("in.csv", "out.h5", "--crop_mode=list", "--context_pad=1", *FLAGS) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "CPU mode" and said[-2].startswith("Processed 4 windows in ") and said[-1] == "Saved to out.h5"
    expected = wanted(**dict(DEFAULT, context_pad=1))
    with h5py.File("out.h5") as file:
        assert list(file["filename"].asstr()) == [name for name, *_ in expected]
        assert file["window"][()].tolist() == [window for _, window, _ in expected]
        np.testing.assert_allclose(file["prediction"][()], [p for *_, p in expected], rtol=1e-6)


def test_windows_that_selective_search_proposes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's place is taken by one that knows the windows."""
    package = SimpleNamespace(get_windows=lambda names, cmd: [WINDOWS[Path(name)] for name in names])
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", package)
    Path("in.txt").write_text("".join(f"{path}\n" for path in WINDOWS))
    for given in ("in.txt", "in.csv"):
        assert detect(given, f"{given}.csv", "--context_pad=0", *FLAGS) == 0
    assert detect("in.csv", "list.csv", "--crop_mode=list", "--context_pad=0", *FLAGS) == 0
    assert Path("in.txt.csv").read_text() == Path("in.csv.csv").read_text() == Path("list.csv").read_text()


HEADER = "filename,xmin,ymin,xmax,ymax\n"
REFUSED = [
    ("no package", "in.csv", HEADER, "selective_search", "--crop_mode=list"),
    ("a list of images", "in.txt", "", "list", "wants windows, a .csv"),
    ("no column", "in.csv", "filename,xmin,ymin,xmax\n", "list", "there is no ymax"),
    ("no numbers", "in.csv", HEADER + "a.png,1,2,x,4\n", "list", "in.csv:2: a window is four numbers"),
    ("a short line", "in.csv", HEADER + "a.png,1,2\n", "list", "in.csv:2: a window is four numbers"),
    ("inside out", "in.csv", HEADER + "a.png,1,2,3,4\na.png,5,2,3,4\n", "list", "in.csv:3: the window must"),
    ("negative", "in.csv", HEADER + "a.png,-1,2,3,4\n", "list", "in.csv:2: the window must begin at 0"),
    ("no image", "in.csv", HEADER + "a.png,1,2,3,4\n", "list", "a.png"),
]


@pytest.mark.parametrize(("given", "text", "mode", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_refused(given: str, text: str, mode: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(given).write_text(text)
    assert detect(given, "out.csv", f"--crop_mode={mode}", "--context_pad=0", *FLAGS) == 1
    assert message in capsys.readouterr().err
    assert not Path("out.csv").exists()


def test_no_windows_and_another_ending(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.csv").write_text(HEADER)
    assert detect("in.csv", "out.csv", "--crop_mode=list", "--context_pad=4", *FLAGS) == 0
    assert Path("out.csv").read_text() == "filename,ymin,xmin,ymax,xmax\n"
    assert detect("in.csv", "out.npy", "--crop_mode=list", *FLAGS) == 1
    assert "must end in .csv or .h5" in capsys.readouterr().err
    assert detect("in.csv", "out.csv", "--crop_mode=list", *FLAGS) == 1
    assert "context_pad 16 on each side leaves nothing" in capsys.readouterr().err
