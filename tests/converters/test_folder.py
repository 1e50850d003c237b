"""Whole folders: pairs found by name, failures reported, what is there left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import converters
from caffe_port.errors import ConvertError
from converters.folder import convert_folder, extensions, net_of
from tests.converters import nets


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "deep").mkdir(parents=True)
    converters.write(nets.model(nets.CLASSIC), folder / "a.caffemodel")
    converters.write(nets.model(nets.RESIDUAL), folder / "deep" / "b.caffemodel")
    (folder / "deep" / "b.prototxt").rename(folder / "deep" / "deploy.prototxt")
    (folder / "bad.caffemodel").write_bytes(b"<html>not found</html>")
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder(models: Path, tmp_path: Path, jobs: int) -> None:
    lines: list[str] = []
    out, told = tmp_path / "out", lambda line, done, of: lines.append(line)
    report = convert_folder(models, out, to="safetensors", jobs=jobs, progress=told)
    assert sorted(Path(p).name for p in report.converted) == ["a.caffemodel", "b.caffemodel"]
    assert list(report.failed) == [str(models / "bad.caffemodel")] and not report.ok and len(lines) == 3
    assert (out / "deep" / "b.safetensors").exists() and "bad.caffemodel" in str(report)


def test_a_second_run_does_what_is_left(models: Path, tmp_path: Path) -> None:
    convert_folder(models, tmp_path / "out", to=".pt", jobs=1)
    os.utime(models / "a.caffemodel", (2**31, 2**31))
    again = convert_folder(models, tmp_path / "out", to=".pt", jobs=1)
    assert [Path(p).name for p in again.converted] == ["a.caffemodel"]
    assert [Path(p).name for p in again.skipped] == ["b.caffemodel"]


def test_the_net_of_a_file(models: Path) -> None:
    assert net_of(models / "a.caffemodel") == models / "a.prototxt"
    assert net_of(models / "deep" / "b.caffemodel") == models / "deep" / "deploy.prototxt"
    assert net_of(models / "bad.caffemodel") is None


def test_every_format_that_is_read_counts(models: Path) -> None:
    assert {".caffemodel", ".caffemodel.h5", ".pt", ".pth", ".safetensors", ".npz", ".onnx"} == set(extensions())
    done = convert_folder(models, models.parent / "out", to=".npz", jobs=1).converted
    again = convert_folder(models.parent / "out", models.parent / "onnx", to=".onnx", jobs=1)
    assert len(again.converted) == len(done) == 2 and again.ok
    assert convert_folder(models.parent / "onnx", models.parent / "x", to="onnx", jobs=1).converted == {}
    back = convert_folder(models.parent / "onnx", models.parent / "back", to="caffemodel", jobs=1)
    assert (models.parent / "back/deep/b.caffemodel").exists() and back.ok


def test_calls_that_cannot_be(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="no such folder"):
        convert_folder(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ConvertError, match="no format has this extension"):
        convert_folder(models, tmp_path / "out", to="gif")
    converters.write(nets.model(nets.CLASSIC), models / "a.safetensors")
    with pytest.raises(ConvertError, match="several files would become"):
        convert_folder(models, tmp_path / "out", to="onnx")
