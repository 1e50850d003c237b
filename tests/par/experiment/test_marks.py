"""Data and weights that changed under an experiment are noticed, whoever changed them; what did not matter is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from caffe_port.data.db import create_db, open_db
from caffe_port.errors import CaffeError, DataError
from caffe_port.par.experiment.marks import BLOCK, BLOCKS, changed, data_marks, marks
from caffe_port.par.experiment.plan import Plan
from caffe_port.par.experiment.results import collect
from caffe_port.par.experiment.runner import run_jobs
from caffe_port.par.experiment.words import markdown
from caffe_port.par.parsing.pseudo import label_databases
from caffe_port.par.understand.page import understand
from caffe_port.par.use.model import open_model
from tests.par import nets


def plan(data: Path, **more) -> Plan:
    return Plan("drawn", str(data), stage1_epochs=1, joint_epochs=1, width=2, batch=3, base_lr=1e-3, **more)


def rewrite(database: Path, change: Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, bytes]]]) -> None:
    """The database anew, with its records changed."""
    with open_db(database) as db:
        records = [(bytes(k), bytes(v)) for k, v in db.cursor().take(len(db))[0]]
    shutil.rmtree(database)
    with create_db(database) as out:
        for key, value in change(records):
            out.put(key, value)


def another_parser(data: Path) -> None:
    net, weights = nets.parser(data.parent / "parser", data)
    label_databases(data, open_model(net / "deploy.prototxt", weights), data)


def edited(data: Path, name: str) -> None:
    (data / name).write_text((data / name).read_text().replace("0.", "0.0", 1) + "\n")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return nets.data(tmp_path_factory.mktemp("marks") / "data")


CHANGES = [
    (lambda d: None, []),
    (lambda d: rewrite(d / "test_image_lmdb", lambda r: r[:-1]), ["test pictures"]),
    (lambda d: rewrite(d / "train_attr_lmdb", lambda r: r[:-1]), ["train attributes"]),
    (lambda d: rewrite(d / "train_seg_lmdb", lambda r: [(k, v[:-9] + b"\7" + v[-8:]) for k, v in r]),
     ["train segmentation"]),
    (another_parser, ["test segmentation", "train segmentation"]),
    (lambda d: edited(d, "positive_rates.txt"), ["positive_rates.txt"]),
    (lambda d: edited(d, "classes.txt"), ["classes.txt"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), CHANGES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_changed_is_named(original, change, wanted, tmp_path) -> None:
    shutil.copytree(original, tmp_path / "data")
    change(tmp_path / "data")
    assert changed(data_marks(original), data_marks(tmp_path / "data")) == wanted


def test_databases_that_lie_otherwise_on_disk_are_the_same(original, tmp_path) -> None:
    shutil.copytree(original, tmp_path / "data")
    with create_db(tmp_path / "data" / "test_seg_lmdb", resume=True) as db:
        db.put(b"zz", b"1" * 9999)
    rewrite(tmp_path / "data" / "test_seg_lmdb", lambda r: r[:-1])
    assert data_marks(tmp_path / "data") == data_marks(original)


@pytest.mark.parametrize("size", [9, BLOCK * BLOCKS * 3])
def test_weights(original, size, tmp_path) -> None:
    """By content, not by date; a file that is gone is not compared."""
    file = tmp_path / "w.caffemodel"
    of = plan(original, weights=(str(file),))
    file.write_bytes(bytes(size))
    before = marks(of)
    file.write_bytes(bytes(size))
    assert marks(of) == before
    file.write_bytes(bytes(size - 1) + b"1")
    assert changed(before, marks(of)) == [str(file)]
    file.unlink()
    assert changed(before, marks(of)) == []


def test_a_begun_experiment_stops(original, tmp_path) -> None:
    """Its own folder, a seed added later, and a finished one; its table still says what it holds, of that data."""
    shutil.copytree(original, tmp_path / "data")
    out, begun = tmp_path / "out", plan(tmp_path / "data")
    run_jobs(begun, "table1", out, only="baseline")
    assert "32 x 16 pictures" in markdown(collect(begun, "table1", out))
    another_parser(tmp_path / "data")
    for seeds in ((1,), (2,)):
        message = r"baseline_weighted_seed1: was begun on other data or weights \(changed since: test segmentation, tr"
        with pytest.raises(CaffeError, match=message):
            run_jobs(replace(begun, seeds=seeds), "table1", out, only="baseline")
    assert not (out / "baseline_weighted_seed2").exists()
    said = markdown(collect(begun, "table1", out))
    assert "changed since the trainings (test segmentation, train segmentation)" in said and "32 x 16" not in said
    with pytest.raises(DataError, match="do not belong to these predictions"):
        understand(begun, out)


def test_jobs_of_different_data_make_no_table(original, tmp_path) -> None:
    run_jobs(plan(original), "table1", tmp_path, only="baseline")
    other = tmp_path / "multitask_weighted_seed1"
    shutil.copytree(tmp_path / "baseline_weighted_seed1", other)
    job = json.loads((other / "job.json").read_text())
    job["marks"]["test attributes"] = "0"
    (other / "job.json").write_text(json.dumps(job))
    with pytest.raises(DataError, match=r"than those before it \(test attributes\)"):
        collect(plan(original), "table1", tmp_path)
