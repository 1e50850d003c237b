"""compute_image_mean: Caffe's file to the byte, and its log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_port.data.datum import encode_datum
from caffe_port.data.db import create_db
from caffe_port.proto.binary import read_blob
from tests.tools.scripts import GOLDEN, run, untimed

HERE = GOLDEN / "tools"


def write(path: Path, arrays: list[np.ndarray]) -> Path:
    with create_db(path) as out:
        for i, array in enumerate(arrays):
            out.put(f"{i:04d}".encode(), encode_datum(array, i).SerializeToString())
    return path


def test_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("db_resized").symlink_to(HERE / "db_resized")
    status, said = run("compute_image_mean", "-backend=lmdb", "db_resized", "mean_resized.binaryproto")
    assert status == 0 and said == untimed((HERE / "log_mean.txt").read_text())
    assert Path("mean_resized.binaryproto").read_bytes() == (HERE / "mean_resized.binaryproto").read_bytes()


def test_floats_and_no_file(tmp_path: Path) -> None:
    arrays = [np.full((2, 3, 5), value, np.float32) for value in (0.5, 1.0, 3.0)]
    status, said = run("compute_image_mean", write(tmp_path / "db", arrays), tmp_path / "mean")
    np.testing.assert_array_equal(read_blob(tmp_path / "mean"), np.full((1, 2, 3, 5), 1.5, np.float32))
    assert status == 0 and said[-1] == "I compute_image_mean.cpp:119] mean_value channel [1]: 1.5"
    assert run("compute_image_mean", tmp_path / "db")[0] == 0


def test_images_of_other_sizes_are_refused_with_their_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The compressed golden images are of seven sizes; Caffe tells that it decodes before it finds out."""
    status, said = run("compute_image_mean", HERE / "db_encoded", tmp_path / "mean")
    assert status == 1 and "I compute_image_mean.cpp:57] Decoding Datum" in said and not (tmp_path / "mean").exists()
    said = capsys.readouterr().err
    assert "record '00000001_im1.png': its shape is (3, 32, 25), the first record's (3, 31, 23)" in said


def test_no_database(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compute_image_mean", "none")[0] == 1
    assert "compute_image_mean: error: none: there is no such database" in capsys.readouterr().err
