"""Segmentation truth made by a model: label maps `<key>.png`, or the segmentation databases of a prepared data set.

    label_pictures(of_files(["photos"]), model, "maps")              any pictures
    label_pictures(of_dataset(open_dataset("peta", root)), model, "maps")
                                                                     then `par prepare peta ROOT --segmentations maps`
    label_databases("data/peta", model, "data/peta")                 an already prepared set, in place

Both go on where they were interrupted, refuse to mix two models in one folder, and leave `labels.json` (model, sha256
of the weights, classes, share of the pixels by class) and `contact_sheet.png` (like figure 4).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from caffe_port.atomic import atomic_write
from caffe_port.data import datum
from caffe_port.data.db import create_db, open_db
from caffe_port.errors import DataError
from caffe_port.par.datasets.base import IGNORE, Dataset
from caffe_port.par.parsing.evaluate import class_names
from caffe_port.par.pictures import contact_sheet, legend, palette, save_png
from caffe_port.par.prepare import finished
from caffe_port.par.use.model import Model
from caffe_port.par.use.sources import VIDEOS, files, keys, upright

MANIFEST, SHEET = "labels.json", "contact_sheet.png"
SHOWN, COLUMNS = 24, 6
Progress = Callable[[str, int, int], None]  # what, pictures done, pictures in all


@dataclass(frozen=True)
class Pictures:
    """Keys, and how to read the picture of the i-th: uint8 (H, W, 3) RGB."""

    keys: Sequence[str]
    read: Callable[[int], np.ndarray]


def of_files(paths: Sequence[str | Path]) -> Pictures:
    """Pictures in files and folders, under their stems."""
    found = [p for p in files(paths) if p.suffix.lower() not in VIDEOS]
    if not found:
        raise DataError("there are only videos; label maps are for pictures")
    return Pictures(keys(found), lambda i: upright(found[i]))


def of_dataset(dataset: Dataset, splits: Sequence[str] | None = None) -> Pictures:
    """The data set's pictures under its keys, those of all splits or of some."""
    used = np.unique(np.concatenate([dataset.indices(s) for s in splits or dataset.splits])).tolist()
    return Pictures([dataset.keys[i] for i in used], lambda i: dataset.read(used[i]).image)


def label_pictures(
    source: Pictures, model: Model, out: str | os.PathLike[str], batch: int = 16, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the label map of each picture at its own size; the summary (what labels.json holds).

    A map is a palette PNG of class numbers; those that are there already are kept.
    """
    folder = Path(out)
    about = _begin(folder, model)
    total = len(source.keys)
    todo = [i for i, key in enumerate(source.keys) if not (folder / f"{key}.png").exists()]
    counts = np.zeros(256, np.int64)
    for done, i, _, labels in _labelled(model, todo, source.read, batch):
        _write_map(folder / f"{source.keys[i]}.png", labels)
        if progress:
            progress("labelling", total - len(todo) + done, total)
    pairs = []
    shown = set(_spread(total))
    for i, key in enumerate(source.keys):
        labels = _read_map(folder / f"{key}.png")
        counts += np.bincount(labels.ravel(), minlength=256)
        if i in shown:
            pairs.append((source.read(i), labels))
    return _finish(folder, about, counts, pairs, {"pictures": total, "new": len(todo)})


def label_databases(
    data: str | os.PathLike[str], model: Model, out: str | os.PathLike[str] | None = None, batch: int = 16,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write `<split>_seg_lmdb` for every split of a prepared data set, with the keys of its pictures; the summary.

    `out` None: in place. There each old database is replaced once its new one is complete, and prepare.json says whose
    labels they are. Labels made before the data were prepared anew are made again.
    """
    folder = Path(data)
    target = Path(out) if out is not None else folder
    manifest = finished(folder)
    splits = list(manifest["parameters"]["splits"])
    about = _begin(target, model)
    here = target.resolve() == folder.resolve()
    prepared = _prepared(manifest)
    if about.get("prepared") != prepared:
        for split in splits:
            fresh = _begun(target, split, here)
            if fresh.exists() and "prepared" not in about and split not in about:
                raise DataError(
                    f"{fresh} exists, but {target / MANIFEST} does not say that it is ours; give another folder"
                )
            about.pop(split, None)
            shutil.rmtree(fresh, ignore_errors=True)
        about["prepared"] = prepared
        _save(target, about)
    counts, pairs = np.zeros(256, np.int64), []
    for split in splits:
        source, made = folder / f"{split}_image_lmdb", target / f"{split}_seg_lmdb"
        if not about.get(split) or (here and _said(split, about) not in manifest["summary"]["notes"]):
            fresh = _begun(target, split, here)
            number = _label_split(source, fresh, model, batch, split, progress)
            if here:
                shutil.rmtree(made, ignore_errors=True)
                fresh.rename(made)
            about[split] = number
            _save(target, about)
        there, some = _survey(source, made, SHOWN // len(splits))
        counts += there
        pairs += some
        if here:
            _note(manifest, split, there, about, class_names(target, _classes(counts)))
            with atomic_write(folder / "prepare.json") as f:
                f.write(json.dumps(manifest, indent=1).encode())
    return _finish(target, about, counts, pairs, {"pictures": sum(about[s] for s in splits)})


def labelled(data: str | os.PathLike[str], model: Model) -> bool:
    """Whether the prepared data hold this model's labels already, in place; DataError where they hold another's."""
    return Path(data, MANIFEST).exists() and _complete(_begin(Path(data), model), finished(data))


def interrupted(data: str | os.PathLike[str]) -> bool:
    """Whether labelling was begun in this prepared folder, as it is prepared now, and has not come to its end."""
    path = Path(data, MANIFEST)
    if not path.exists():
        return False
    about, manifest = _about(path), finished(data)
    return about.get("prepared") == _prepared(manifest) and not _complete(about, manifest)


def _complete(about: dict[str, Any], manifest: dict[str, Any]) -> bool:
    splits, notes = manifest["parameters"]["splits"], manifest["summary"]["notes"]
    labelled = all(about.get(split) and _said(split, about) in notes for split in splits)
    return labelled and about.get("prepared") == _prepared(manifest)


def _prepared(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest["parameters"]).encode()).hexdigest()


# -- one run's folder -------------------------------------------------------------------------------------------------


def _begin(folder: Path, model: Model) -> dict[str, Any]:
    """The manifest of an interrupted run of the same model, or a new one."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(Path(model.weights).read_bytes()).hexdigest()
    path = folder / MANIFEST
    about = {"model": model.source, "weights": model.weights, "sha256": digest, "size": list(model.transform.size)}
    if path.exists():
        old = _about(path)
        if (old.get("sha256"), old.get("size")) != (digest, about["size"]):
            raise DataError(
                f"{path}: the labels here are of {_named(old)}, not of {_named(about)}; give another folder, or remove "
                "this one"
            )
        return old
    _save(folder, about)
    return about


def _about(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); remove it, or give another folder") from None


def _named(about: dict[str, Any]) -> str:
    return f"{about.get('weights')} at {'x'.join(map(str, about.get('size', ())))}"


def _save(folder: Path, about: dict[str, Any]) -> None:
    with atomic_write(folder / MANIFEST) as f:
        f.write((json.dumps(about, indent=1) + "\n").encode())


def _finish(
    folder: Path, about: dict[str, Any], counts: np.ndarray, pairs: list[tuple[np.ndarray, Any]], more: dict[str, int]
) -> dict[str, Any]:
    names = class_names(folder, max(20, _classes(counts)))
    total = max(int(counts.sum()), 1)
    shares = {name: round(int(counts[i]) / total, 6) for i, name in enumerate(names)}
    summary = {**about, **more, "classes": names, "share_of_pixels": shares}
    sheet = contact_sheet(pairs[:SHOWN], columns=min(COLUMNS, max(1, len(pairs))), height=224)
    said = legend({i: name for i, name in enumerate(names) if counts[i]}, sheet.shape[1])
    save_png(folder / SHEET, np.vstack([sheet, said]))
    _save(folder, summary)
    return summary


def _classes(counts: np.ndarray) -> int:
    present = np.flatnonzero(counts[:IGNORE])
    return int(present.max()) + 1 if len(present) else 1


def _spread(total: int) -> Iterator[int]:
    """The places of up to SHOWN pictures, evenly over all."""
    count = min(SHOWN, total)
    return (int((i + 0.5) * total / count) for i in range(count))


def _labelled(
    model: Model, todo: Sequence[int], read: Callable[[int], np.ndarray], batch: int
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """(pictures done, number, picture, labels at the picture's size), batch by batch."""
    for first in range(0, len(todo), batch):
        numbers = todo[first : first + batch]
        images = [read(i) for i in numbers]
        for j, (i, image, found) in enumerate(zip(numbers, images, model.predict(images), strict=True)):
            if not found.scores:
                raise DataError(
                    f"{model.source}: predicts no segmentation; label maps need a net with a seg_prob output"
                )
            yield first + j + 1, i, image, found.labels_at(image.shape[:2])


def _write_map(path: Path, labels: np.ndarray) -> None:
    picture = Image.fromarray(labels, "L")
    picture.putpalette(palette(20).tobytes())
    with atomic_write(path) as f:
        picture.save(f, "PNG", optimize=True)


def _read_map(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture, np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: this label map cannot be read ({error}); remove it to have it made again") from error


# -- databases --------------------------------------------------------------------------------------------------------


def _label_split(source: Path, target: Path, model: Model, batch: int, split: str, progress: Progress | None) -> int:
    """The segmentation database for the pictures of one; how many records it has."""
    with open_db(source) as db, create_db(target, resume=True) as out:
        everything = _keys(db)
        last = out.last_key()
        todo = [i for i, key in enumerate(everything) if last is None or key > last]
        cursor = db.cursor()

        def read(i: int) -> np.ndarray:
            cursor.seek(everything[i])
            return _rgb(cursor.value, source, everything[i])

        for done, i, _, labels in _labelled(model, todo, read, batch):
            out.put(everything[i], datum.encode_datum(labels[None]).SerializeToString())
            if done % (8 * batch) == 0:
                out.commit()
            if progress:
                progress(f"labelling {split}", len(everything) - len(todo) + done, len(everything))
        out.commit()
    return len(everything)


def _begun(target: Path, split: str, here: bool) -> Path:
    """Where a split's database grows; in place beside the one that it will replace."""
    return target / (f"{split}_seg_lmdb.new" if here else f"{split}_seg_lmdb")


def _keys(db: Any) -> list[bytes]:
    cursor = db.cursor()
    found = [cursor.key]
    while not cursor.next():
        found.append(cursor.key)
    return found


def _rgb(value: bytes, source: Path, key: bytes) -> np.ndarray:
    where = datum.Where(str(source), key)
    bgr = datum.to_array(datum.parse(value, where), where, color=True)
    return np.ascontiguousarray(bgr[::-1].transpose(1, 2, 0))


def _survey(images: Path, maps: Path, count: int) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Pixels by class of a finished database, and some of its pictures with their labels."""
    counts = np.zeros(256, np.int64)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    with open_db(images) as pictures, open_db(maps) as labels:
        everything, cursor, of = _keys(labels), labels.cursor(), pictures.cursor()
        step = max(1, len(everything) // max(count, 1))
        for i, key in enumerate(everything):
            cursor.seek(key)
            found = datum.to_array(datum.parse(cursor.value, maps), maps)[0]
            counts += np.bincount(found.ravel(), minlength=256)
            if i % step == 0 and len(pairs) < count:
                of.seek(key)
                pairs.append((_rgb(of.value, images, key), found))
    return counts, pairs


def _note(
    manifest: dict[str, Any], split: str, counts: np.ndarray, about: dict[str, Any], names: Sequence[str]
) -> None:
    """prepare.json says that this split's labels are no longer the data set's own."""
    summary = manifest["summary"]
    summary["splits"][split]["without_segmentation"] = 0
    summary["splits"][split]["class_pixels"] = {n: int(c) for n, c in zip(names, counts.tolist(), strict=False)}
    others = [n for n in summary["notes"] if not n.startswith(f"{split}: ") or "segment" not in n]
    summary["notes"] = [*others, _said(split, about)]


def _said(split: str, about: dict[str, Any]) -> str:
    return f"{split}: segmentation predicted by {about['weights']}"
