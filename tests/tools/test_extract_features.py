"""extract_features: Caffe's databases, to the rounding of the sums, and its log."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from caffe_port.cli.features import extract, records
from caffe_port.layers.base import TEST
from caffe_port.net import Net
from caffe_port.proto.load import read_net
from tests.tools.databases import datums
from tests.tools.scripts import GOLDEN, run, untimed

HERE = GOLDEN / "tools"
OF_THREADS = "Restarting data prefetching from start."  # told by the reading thread at moments of its own


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The net's paths are relative: its database and mean file in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("feat.prototxt", "feat.caffemodel", "mean_resized.binaryproto"):
        shutil.copy(HERE / name, name)
    Path("db_resized").symlink_to(HERE / "db_resized")


def test_golden() -> None:
    status, said = run("extract_features", "feat.caffemodel", "feat.prototxt", "conv,ip", "out_conv,out_ip", 3, "lmdb")
    expected = untimed((HERE / "log_extract.txt").read_text())
    assert status == 0 and [x for x in said if OF_THREADS not in x] == [x for x in expected if OF_THREADS not in x]
    for name in ("out_conv", "out_ip"):
        made, golden = datums(Path(name)), datums(HERE / name)
        assert list(made) == list(golden)
        for key, datum in golden.items():
            mine = made[key]
            assert (mine.channels, mine.height, mine.width) == (datum.channels, datum.height, datum.width)
            assert not mine.HasField("label") and not mine.HasField("encoded")
            np.testing.assert_allclose(mine.float_data, datum.float_data, atol=2e-6)  # sums of 75 and 96 products


SHAPES = [((5,), (5, 1, 1, 1)), ((5, 7), (5, 7, 1, 1)), ((2, 3, 5, 7), (2, 3, 5, 7)), ((2, 3, 5, 7, 4), (2, 3, 5, 28))]


@pytest.mark.parametrize("shape, expected", SHAPES)
def test_axes_of_a_record(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert records(np.zeros(shape)).shape == expected


def test_an_interrupt_keeps_the_batches_done() -> None:
    def stop(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    net = Net(read_net("feat.prototxt"), TEST)
    with pytest.raises(KeyboardInterrupt, match="2 of 9 batches are in out"):
        extract(net, ["ip"], ["out"], 9, progress=stop)
    assert len(datums(Path("out"))) == 6


BAD = [
    (("feat.caffemodel", "feat.prototxt", "conv,ip", "one", 1, "lmdb"), "2 blob names and 1 database names"),
    (("feat.caffemodel", "feat.prototxt", "pool", "one", 1, "lmdb"), "there is no blob 'pool'; its blobs: data, label"),
    (("none.caffemodel", "feat.prototxt", "ip", "one", 1, "lmdb"), "none.caffemodel"),
    (("feat.caffemodel", "none.prototxt", "ip", "one", 1, "lmdb"), "none.prototxt: cannot be read"),
    (("feat.caffemodel", "feat.prototxt", "ip", "db_resized", 1, "lmdb"), "db_resized: exists already"),
]


@pytest.mark.parametrize("argv, message", BAD)
def test_errors(argv: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("extract_features", *argv)[0] == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not Path("one").exists()


def test_a_gpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, said = run("extract_features", "feat.caffemodel", "feat.prototxt", "ip", "out", 1, "lmdb", "GPU", 1)
    assert status == 0 and said[:2] == [
        "E extract_features.cpp:52] Using GPU",
        "E extract_features.cpp:58] Using Device_id=1",
    ]
    assert "no CUDA device can be used here" in said[2]
