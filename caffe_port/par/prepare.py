"""A data set to the LMDBs, rates and lists that the paper's networks train from.

Into `out_dir`: `<split>_{image,attr,seg}_lmdb` for each split (triple.py), `positive_rates.txt` (`name,rate` a line, of
the training records written: w_i of equation 2), `attributes.txt`, `classes.txt` (a name a line), `mean_bgr.txt` (the
training pictures' mean of each channel, for transform_param's mean_value) and `prepare.json`, the manifest: parameters,
how far each split has come, and, when finished, the summary.

An interrupted run goes on after the last records that all three databases of a split are known to hold; a run with
other parameters, or over a data set whose labels changed, starts anew. Both give the same databases as one run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from caffe_port.atomic import atomic_write
from caffe_port.data.db import open_db
from caffe_port.errors import DataError
from caffe_port.par.datasets.base import IGNORE, Dataset, Sample, Size, positive_rates
from caffe_port.par.reading import read_all
from caffe_port.par.triple import ENCODINGS, Triple, encode, folders

Progress = Callable[[str, int, int], None]  # split, records done, records in all

MANIFEST = "prepare.json"
COMMIT_EVERY = 256


def prepare(
    dataset: Dataset,
    out_dir: str | os.PathLike[str],
    size: Size = (256, 128),
    splits: Sequence[str] = ("train", "test"),
    limit: int | Mapping[str, int] | None = None,
    seed: int = 0,
    encoding: str = "raw",
    quality: int = 95,
    segmentation_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
    anew: bool = True,
) -> dict[str, Any]:
    """Write the databases and return the summary (counts, positive rates, means, notes; the manifest's "summary").

    Records of a split are shuffled by `seed`; `limit` keeps the first ones of each split, or of those it names.
    `segmentation_dir` holds label maps `<key>.png` (class numbers, 255 to be ignored) for a data set without its own;
    without either the segmentation is all 255. `workers` processes read the samples; what is written does not depend on
    their number. `anew` False refuses a folder that was prepared with other parameters. Raises DataError, naming the
    record, for a sample whose sizes, labels or number of attributes do not fit; what was committed before stays and is
    continued from.
    """
    if encoding not in ENCODINGS:
        raise DataError(f"encoding is '{encoding}'; it may be {', '.join(ENCODINGS)}")
    if len(splits) != len(set(splits)) or not splits:
        raise DataError(f"splits are {list(splits)}; name each once and at least one")
    if min(size) < 1:
        raise DataError(f"the size is {size[0]} x {size[1]} (height x width); both must be positive")
    out = Path(out_dir)
    order = {s: _order(dataset, s, limit, seed) for s in splits}
    parameters = {
        "dataset": dataset.name, "fingerprint": _fingerprint(dataset, order), "size": list(size),
        "splits": {s: len(order[s]) for s in splits}, "seed": seed, "encoding": encoding,
        "quality": quality if encoding == "jpeg" else None,
        "segmentation_dir": str(segmentation_dir) if segmentation_dir is not None else None,
    }  # fmt: skip
    manifest = _open_manifest(out, parameters, splits, anew)
    maps = None if segmentation_dir is None else Path(segmentation_dir)
    for split in splits:
        _write_split(dataset, out, split, order[split], manifest, parameters, maps, progress, workers)
    if not manifest.get("finished"):
        manifest["summary"] = _summary(dataset, order, manifest, parameters)
        _write_lists(dataset, out, manifest["summary"])
        manifest["finished"] = True
        _save(out, manifest)
    return manifest["summary"]


def finished(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of a folder that `prepare` has finished; DataError where it is none, or not yet."""
    path = Path(folder, MANIFEST)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not (manifest["finished"] and manifest["parameters"]["splits"]):
            raise DataError(f"{folder}: `par prepare` was interrupted there; the same command goes on")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: not a folder that `par prepare` finished: {error}") from None
    return manifest


def _order(dataset: Dataset, split: str, limit: int | Mapping[str, int] | None, seed: int) -> np.ndarray:
    """The split's record numbers, shuffled; every split has its own stream, so that no limit disturbs another split."""
    indices = np.asarray(dataset.indices(split))
    stream = int.from_bytes(hashlib.sha256(split.encode()).digest()[:4], "big")
    shuffled = np.random.default_rng([seed, stream]).permutation(indices)
    most = limit.get(split) if isinstance(limit, Mapping) else limit
    shuffled = shuffled if most is None else shuffled[:most]
    if not len(shuffled):
        raise DataError(f"{dataset.name}: split '{split}' has no record to write")
    return shuffled


def _fingerprint(dataset: Dataset, order: dict[str, np.ndarray]) -> str:
    """Changes with any name, key, label or order that the databases would hold."""
    h = hashlib.sha256()
    h.update(json.dumps([dataset.attributes, dataset.classes, dataset.options]).encode())
    for split, indices in order.items():
        h.update(json.dumps([split, [dataset.keys[i] for i in indices.tolist()]]).encode())
        h.update(np.ascontiguousarray(dataset.labels[indices]).tobytes())
    return h.hexdigest()


def _key(position: int, name: str) -> bytes:
    return f"{position:08d}_{name}".encode()


# -- the manifest -------------------------------------------------------------------------------------------------


def _open_manifest(out: Path, parameters: dict[str, Any], splits: Sequence[str], anew: bool) -> dict[str, Any]:
    """The manifest of an interrupted or finished run with these parameters, or a new one after clearing the old
    run's databases. Databases that no manifest speaks for are not ours to remove."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / MANIFEST
    if path.exists():
        try:
            manifest = json.loads(path.read_text())
            old = manifest["parameters"]
            if old == parameters:
                return manifest
            previous = list(old["splits"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}); remove the folder {out}, or give another one") from error
        if not anew:
            name = min(n for n in {*old, *parameters} if old.get(n) != parameters.get(n))
            raise DataError(
                f"{out}: was prepared otherwise ({name}: {old.get(name)}, now {parameters.get(name)}); give another "
                "folder, or prepare it anew by `par prepare`"
            )
    else:
        taken = [str(p) for s in splits for p in folders(out, s).values() if p.exists()]
        if taken:
            raise DataError(f"{taken[0]} exists, but {path} does not say what it is; remove it, or give another folder")
        previous = []
    manifest = {"parameters": parameters, "finished": False, "splits": {}}
    for split in previous:
        _remove(out, split)
    _save(out, manifest)
    return manifest


def _save(out: Path, manifest: dict[str, Any]) -> None:
    with atomic_write(out / MANIFEST) as f:
        f.write(json.dumps(manifest, indent=1).encode())


def _fresh(classes: int) -> dict[str, Any]:
    """What is known of a split so far; whole numbers only, so that going on adds up exactly to one run."""
    return {"done": 0, "sum_bgr": [0, 0, 0], "pixels": 0, "class_pixels": [0] * classes, "without_segmentation": 0}


# -- one split ----------------------------------------------------------------------------------------------------


def _write_split(
    dataset: Dataset, out: Path, split: str, order: np.ndarray, manifest: dict[str, Any], parameters: dict[str, Any],
    segmentation_dir: Path | None, progress: Progress | None, workers: int,
) -> None:  # fmt: skip
    state = manifest["splits"].get(split) or _fresh(len(dataset.classes))
    total, done = len(order), state["done"]
    if manifest.get("finished") and _all_there(out, split, _key(total - 1, dataset.keys[order[-1]])):
        return
    with ExitStack() as stack:
        databases = stack.enter_context(Triple(out, split))
        if done and not databases.reach(_key(done - 1, dataset.keys[order[done - 1]])):
            stack.close()  # somebody took records away: this split starts anew
            _remove(out, split)
            state, done = _fresh(len(dataset.classes)), 0
            databases = stack.enter_context(Triple(out, split))
        manifest["finished"] = False
        if progress:
            progress(split, done, total)
        samples = read_all(dataset, order[done:].tolist(), _size(parameters), workers)
        for position, sample in enumerate(samples, done):
            sample = _checked(dataset, sample, parameters, segmentation_dir, state)
            _count(sample, state)
            records = encode(sample, parameters["encoding"], parameters["quality"] or 95)
            databases.put(_key(position, sample.key), records)
            if (position + 1) % COMMIT_EVERY == 0 or position + 1 == total:
                databases.commit()
                state["done"] = position + 1
                manifest["splits"][split] = state
                _save(out, manifest)
            if progress:
                progress(split, position + 1, total)


def _all_there(out: Path, split: str, last: bytes) -> bool:
    """Whether the three databases can be read and reach as far as this key."""
    for folder in folders(out, split).values():
        try:
            with open_db(folder) as db:
                db.cursor().seek(last)
        except DataError:
            return False
    return True


def _remove(out: Path, split: str) -> None:
    for folder in folders(out, split).values():
        shutil.rmtree(folder, ignore_errors=True)


def _size(parameters: dict[str, Any]) -> Size:
    return parameters["size"][0], parameters["size"][1]


def _checked(
    dataset: Dataset, sample: Sample, parameters: dict[str, Any], maps: Path | None, state: dict[str, Any]
) -> Sample:
    """The sample with a segmentation in any case, everything in it of the right size and value."""
    size = _size(parameters)
    if sample.segmentation is None:
        labels = _label_map(maps / f"{sample.key}.png", size) if maps is not None else None
        state["without_segmentation"] += labels is None
        sample = replace(sample, segmentation=np.full(size, IGNORE, np.uint8) if labels is None else labels)
    elif bool((sample.segmentation == IGNORE).all()):
        state["without_segmentation"] += 1
    what = f"{dataset.name}: '{sample.key}'"
    labels = sample.segmentation
    assert labels is not None
    if sample.image.shape != (*size, 3) or labels.shape != tuple(size):
        raise DataError(f"{what}: picture {sample.image.shape} and segmentation {labels.shape} for a size of {size}")
    if sample.attributes.shape != (len(dataset.attributes),):
        raise DataError(f"{what} has {sample.attributes.size} attributes; the data set has {len(dataset.attributes)}")
    if not np.isin(sample.attributes, (0, 1, IGNORE)).all():
        raise DataError(f"{what} has an attribute of {sample.attributes.max()}; they may be 0, 1 or {IGNORE}")
    wrong = labels[(labels >= len(dataset.classes)) & (labels != IGNORE)]
    if len(wrong):
        raise DataError(f"{what}: the segmentation has class {wrong[0]}; there are {len(dataset.classes)} classes")
    return sample


def _label_map(path: Path, size: Size) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("L", "P"):
                raise DataError(f"{path} has mode {picture.mode}; a label map is a grey or palette PNG of classes")
            labels = picture.resize((size[1], size[0]), Image.Resampling.NEAREST)
            return np.asarray(labels, np.uint8)
    except FileNotFoundError:
        raise DataError(f"the label map {path} is missing") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"the label map {path} cannot be read: {error}") from error


def _count(sample: Sample, state: dict[str, Any]) -> None:
    sums = sample.image.sum((0, 1), dtype=np.int64)[::-1].tolist()
    state["sum_bgr"] = [a + b for a, b in zip(state["sum_bgr"], sums, strict=True)]
    state["pixels"] += sample.image.shape[0] * sample.image.shape[1]
    assert sample.segmentation is not None
    counts = np.bincount(sample.segmentation.ravel(), minlength=256)[: len(state["class_pixels"])].tolist()
    state["class_pixels"] = [a + b for a, b in zip(state["class_pixels"], counts, strict=True)]


# -- the end ------------------------------------------------------------------------------------------------------


def _summary(
    dataset: Dataset, order: dict[str, np.ndarray], manifest: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    notes = list(dataset.notes)
    parts: dict[str, Any] = {}
    for split, indices in order.items():
        state = manifest["splits"][split]
        rates = positive_rates(dataset.labels[indices])
        parts[split] = {
            "records": len(indices),
            "positive_rates": {n: _number(r) for n, r in zip(dataset.attributes, rates.tolist(), strict=True)},
            "mean_bgr": [round(s / state["pixels"], 4) for s in state["sum_bgr"]],
            "without_segmentation": state["without_segmentation"],
            "class_pixels": dict(zip(dataset.classes, state["class_pixels"], strict=True)),
        }
        flat = [n for n, r in parts[split]["positive_rates"].items() if r is None or not 0 < r < 1]
        if flat:
            notes.append(f"{split}: always or never there: {', '.join(flat)} (no weight and no mA for these)")
        if bare := state["without_segmentation"]:
            notes.append(f"{split}: {bare} of {len(indices)} records have no segmentation (all 255)")
    return {
        "dataset": dataset.name, "size": parameters["size"], "encoding": parameters["encoding"],
        "attributes": dataset.attributes, "classes": dataset.classes, "splits": parts, "notes": notes,
    }  # fmt: skip


def _number(rate: float) -> float | None:
    return None if np.isnan(rate) else rate


def _write_lists(dataset: Dataset, out: Path, summary: dict[str, Any]) -> None:
    first = "train" if "train" in summary["splits"] else next(iter(summary["splits"]))
    of = summary["splits"][first]
    rates = [f"{name},{'nan' if rate is None else repr(rate)}" for name, rate in of["positive_rates"].items()]
    for name, lines in (
        ("positive_rates.txt", rates),
        ("attributes.txt", dataset.attributes),
        ("classes.txt", dataset.classes),
        ("mean_bgr.txt", [f"{value:.4f}" for value in of["mean_bgr"]]),
    ):
        with atomic_write(out / name) as f:
            f.write("".join(f"{line}\n" for line in lines).encode())
