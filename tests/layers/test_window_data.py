"""WindowData: what a genuine Caffe cut out, number for number; how windows are drawn; files that are no good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_port.errors import CaffeError, DataError
from caffe_port.layers.base import TRAIN
from tests.layers.data_layer import GOLDEN, make, tops

FOLDER = GOLDEN / "window_data"
ANSWERS = dict(np.load(FOLDER / "answers.npz"))
NUMBERED = sorted(int(name.split(".")[0]) for name in ANSWERS if name[0].isdigit() and name.endswith(".prototxt"))


def definition(name: object) -> str:
    """A layer's text as `data_layer.make` wants it."""
    text = str(ANSWERS[f"{name}.prototxt"]).strip()
    return text.removeprefix('layer { name:"d"').removesuffix("}")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


@pytest.mark.parametrize("number", NUMBERED)
def test_as_caffe(number: int, here: None) -> None:
    """One window of each kind: nothing is left to chance."""
    layer = make(definition(number))
    want = [ANSWERS[f"{number}.data"], ANSWERS[f"{number}.label"]]
    assert layer.top_shapes([]) == [w.shape for w in want]
    for got, wanted in zip(tops(layer), want, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_mirrored_as_caffe(here: None) -> None:
    layer = make(definition("mirror"))
    ours = {picture.tobytes() for _ in range(10) for picture in tops(layer)[0]}
    theirs = {picture.tobytes() for picture in ANSWERS["mirror.data"]}
    assert theirs == ours and len(ours) == 4


def windows(batch: int = 8, more: str = "", transform: str = "crop_size: 6", source: str = "w.txt") -> str:
    return (f'type: "WindowData" top: "data" top: "label" transform_param {{ {transform} }} '
            f'window_data_param {{ source: "{source}" batch_size: {batch} root_folder: "{FOLDER}/" {more} }}')


WINDOWS = """# 0
p0.png
3 23 31
4
1 0.9 1 1 9 9
2 0.8 3 2 9 9
3 0.5 4 4 8 8
4 0.2 2 2 5 5
# 1
p1.png
3 40 19
1
9 0 1 1 4 4
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("w.txt").write_text(WINDOWS)
    return tmp_path


@pytest.mark.parametrize(("fraction", "thresholds", "foreground", "classes"), [
    (0.25, "", 2, {1, 2, 3}),
    (0.49, "fg_threshold: 0.6", 3, {1, 2}),
    (0.5, "fg_threshold: 0.15 bg_threshold: 0.1", 4, {1, 2, 3, 4}),
    (0, "", 0, set()),
    (1, "", 8, {1, 2, 3}),
])  # fmt: skip
def test_every_batch_has_its_share(
    fraction: float, thresholds: str, foreground: int, classes: set[int], folder: Path
) -> None:
    layer = make(windows(8, f"fg_fraction: {fraction} {thresholds}"))
    batches = [tops(layer)[1] for _ in range(20)]
    for labels in batches:
        assert (labels[: 8 - foreground] == 0).all() and (labels[8 - foreground :] > 0).all()
    assert {int(v) for labels in batches for v in labels} - {0} == classes


def test_seeds_states_and_ranks(folder: Path) -> None:
    text = windows(3, "cache_images: true", "crop_size: 5 mirror: true")
    layer, again, other = make(text, TRAIN), make(text, TRAIN), make(text, TRAIN, seed=4)
    first = [tops(layer)[0] for _ in range(4)]
    assert all((a == tops(again)[0]).all() for a in first)
    assert any((a != tops(other)[0]).any() for a in first)
    state = layer.state()
    want = [tops(layer)[0] for _ in range(3)]
    other.restore(state)
    assert all((a == tops(other)[0]).all() for a in want)
    again.rewind()
    assert (tops(again)[0] == first[0]).all()
    again.set_rank(1, 2)
    assert any((tops(again)[0] != a).any() for a in first)


FILES = [
    ("", "it has no foreground window"),
    ("x", "picture number 0: 'x' stands where '# index' should"),
    ("# 0\np0.png\n3 23 31\n2\n1 0.9 1 1 9 9\n", "picture number 0: not '# index path channels"),
    ("# 0\np0.png\n3 23 31\n1\n1 high 1 1 9 9\n", "picture number 0: not '# index path channels"),
    ("# 0\np0.png\n1 23 31\n1\n1 0.9 1 1 9 9\n", "it says 1 channels"),
    ("# 0\np0.png\n3 23 31\n1\n0 0.9 1 1 9 9\n", "but has class 0"),
    ("# 0\np0.png\n3 23 31\n1\n1 0.9 1 1 9 9\n", "it has no background window"),
    (WINDOWS.replace("# 1", "# 5"), "'# 5': pictures must be numbered"),
    (WINDOWS.replace("p0", "p7").replace("p1", "p7"), "p7.png.*No such file or directory"),
    (WINDOWS.replace("5 5", "55 5").replace("4 4", "44 4"), "does not lie in the picture, which is"),
]


@pytest.mark.parametrize(("lines", "message"), FILES, ids=[f[1][:30] for f in FILES])
def test_bad_file(lines: str, message: str, folder: Path) -> None:
    Path("w.txt").write_text(lines)
    with pytest.raises(DataError, match=rf"^layer 'd' \(WindowData\): .*{message}"):
        tops(make(windows(8, "fg_fraction: 0.1")))


@pytest.mark.parametrize(("text", "message"), [
    (windows(source="gone.txt"), "gone.txt: the window file cannot be read: No such file"),
    (windows(transform=""), "the size of the result, must be given"),
    (windows(0), "batch_size must be given"),
    (windows(more="context_pad: 3"), "leaves nothing of crop_size 6"),
    (windows(transform="crop_size: 6 mean_value: 1 mean_value: 2"), "2 mean_values; give one"),
])  # fmt: skip
def test_bad_definition(text: str, message: str, folder: Path) -> None:
    with pytest.raises(CaffeError, match=rf"^layer 'd' \(WindowData\): .*{message}"):
        make(text)


@pytest.mark.parametrize(("shape", "message"), [
    ((3, 9, 9), None), ((3, 5, 9), "3 x 6 x 6 is wanted"), ((1, 9, 9), "wanted"),
])  # fmt: skip
def test_mean_file(shape: tuple[int, ...], message: str | None, folder: Path) -> None:
    """Its middle; where the window's context lies outside the picture, nothing is subtracted."""
    from caffe_port.proto.binary import write_blob

    mean = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    write_blob("mean.binaryproto", mean)
    Path("w.txt").write_text("# 0\np0.png\n3 23 31\n2\n1 0.9 0 0 8 8\n4 0.2 9 9 14 14\n")
    text = windows(2, "fg_fraction: 0.5 context_pad: 1", "crop_size: 6 mean_file: 'mean.binaryproto'")
    if message:
        with pytest.raises(DataError, match=message):
            make(text)
        return
    with_mean, plain = tops(make(text))[0], tops(make(text.replace("mean_file: 'mean.binaryproto'", "")))[0]
    np.testing.assert_array_equal(with_mean[0], plain[0] - mean[0, :, 1:7, 1:7])
    assert (with_mean[1, :, 0] == 0).all() and (with_mean[1, :, :, 0] == 0).all()
    np.testing.assert_array_equal(with_mean[1, :, 1:, 1:], (plain[1] - mean[0, :, 1:7, 1:7])[:, 1:, 1:])
