"""The manifest of published weights, and files that are what it says or are refused."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import yaml

from caffe_port.errors import CaffeError
from caffe_port.par import weight_map
from caffe_port.par.start_weights import NEEDED, read_manifest, take

ROOT = Path(__file__).parents[2]
CONTENT = b"weights"


@pytest.fixture
def manifest(tmp_path) -> Path:
    entry = {name: name for name in NEEDED} | {"file": "w.caffemodel", "member": "a/w.caffemodel"}
    entry["sha256"] = hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({"thin": entry}))
    return tmp_path / "manifest.yaml"


def test_the_shipped_one_is_whole() -> None:
    for entry in read_manifest(ROOT / "weights/manifest.yaml").values():
        assert len(entry["sha256"]) == 64
        assert "map" not in entry or weight_map.read(ROOT / entry["map"])
        assert not (ROOT / "weights" / entry["file"]).exists() or "caffemodel" in (ROOT / ".gitignore").read_text()


@pytest.mark.parametrize("packed", [True, False])
def test_taken_and_checked(tmp_path, manifest, packed) -> None:
    fetched = tmp_path / "fetched"
    fetched.write_bytes(CONTENT)
    if packed:
        with zipfile.ZipFile(fetched, "w") as archive:
            archive.writestr("a/w.caffemodel", CONTENT)
    target = take("thin", fetched, tmp_path / "out", manifest)
    assert target.name == "w.caffemodel" and target.read_bytes() == CONTENT


def test_refused(tmp_path, manifest) -> None:
    (tmp_path / "other").write_bytes(b"other")
    with zipfile.ZipFile(tmp_path / "wrong.whl", "w") as archive:
        archive.writestr("b", b"x")
    (tmp_path / "thin.yaml").write_text("a: {file: x}")
    cases = [
        (lambda: take("thin", tmp_path / "none", tmp_path, manifest), "`fetch` fetches it"),
        (lambda: take("thin", tmp_path / "other", tmp_path, manifest), "another file or damaged"),
        (lambda: take("thin", tmp_path / "wrong.whl", tmp_path, manifest), "holds no a/w.caffemodel"),
        (lambda: take("fat", tmp_path / "other", tmp_path, manifest), "knows no 'fat'; it knows thin"),
        (lambda: read_manifest(tmp_path / "nowhere.yaml"), "run from the repository"),
        (lambda: read_manifest(tmp_path / "thin.yaml"), "'a' lacks fetch"),
    ]
    for call, message in cases:
        with pytest.raises(CaffeError, match=message):
            call()
    assert not list(tmp_path.glob("w.caffemodel"))
