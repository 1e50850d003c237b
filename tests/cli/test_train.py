"""The train and test commands on data: bad records, examples of Caffe unchanged but for paths, errors of ranks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.cli.main import main
from caffe_port.data.datum import encode_datum
from caffe_port.data.db import LMDB, create_db, open_db
from caffe_port.errors import CaffeError
from tests.solver import drawn

CLASSIC = Path(__file__).parents[2] / "prototxt" / "classic"


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def spoil(folder: Path, numbers: list[int]) -> None:
    """Records that are cut short, in a database that is otherwise drawn.database's."""
    drawn.database(folder, "good_lmdb")
    db = open_db("good_lmdb", LMDB)
    cursor = db.cursor()
    cursor.first()
    with create_db(str(folder / "train_lmdb"), LMDB) as out:
        for i in range(drawn.COUNT):
            value = bytes(cursor.value)
            out.put(bytes(cursor.key), value[: len(value) // 2] if i in numbers else value)
            cursor.next()
    cursor.close()
    db.close()


def test_a_bad_record_ends_the_run_and_names_itself(tmp_path, capsys):
    spoil(tmp_path, [5])
    drawn.write(tmp_path)
    assert main(["train", "--solver=solver.prototxt"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("caffe-port: error")]
    assert len(said) == 1 and "train_lmdb" in said[0] and "00000005" in said[0]


def test_bad_records_are_skipped_and_counted(tmp_path, capsys):
    spoil(tmp_path, [5, 6])
    drawn.write(tmp_path, reading="prefetch: 0")
    assert main(["train", "--solver=solver.prototxt", "--skip-bad-records"]) == 0
    said = capsys.readouterr().err
    # Six batches of 4 of the 20 good ones: once through, and 4 more.
    assert len(re.findall(r"^W.*skipped a bad record: .*0000000[56]", said, re.MULTILINE)) == 2
    assert "Skipped 2 bad records." in said
    argv = ["test", "--model=net.prototxt", "--weights=run_iter_6.caffemodel", "--iterations=2", "--skip-bad-records"]
    assert main(argv) == 0
    assert re.search(r"Skipped [24] bad records.", capsys.readouterr().err)


# net, shape of a record, iterations, and the test accuracy that these are enough for
EXAMPLES = [("lenet", (1, 28, 28), 12, 0.5), ("cifar10_quick", (3, 32, 32), 8, 0.3)]


@pytest.mark.parametrize("name, shape, iterations, enough", EXAMPLES)
def test_caffes_examples_train_unchanged_but_for_paths(name, shape, iterations, enough, tmp_path, monkeypatch, capsys):
    draw_classes(tmp_path, shape)
    net = (CLASSIC / name / "train_test.prototxt").read_text()
    net = re.sub(r'source: "[^"]*train_lmdb"', 'source: "train_lmdb"', net)
    net = re.sub(r'source: "[^"]*test_lmdb"', 'source: "test_lmdb"', net)
    net = re.sub(r'mean_file: "[^"]*"', 'mean_file: "mean.binaryproto"', net)
    solver = (CLASSIC / name / "solver.prototxt").read_text()
    solver = re.sub(r'net: "[^"]*"', 'net: "net.prototxt"', solver)
    solver = re.sub(r'snapshot_prefix: "[^"]*"', 'snapshot_prefix: "run"', solver) + " random_seed: 1"
    solver = re.sub(r"test_iter: \d+", "test_iter: 1", solver)  # for the test's time only
    (tmp_path / "net.prototxt").write_text(net)
    (tmp_path / "solver.prototxt").write_text(solver)
    assert main(["train", "--solver=solver.prototxt", f"--iterations={iterations}"]) == 0
    test = ["test", "--model=net.prototxt", f"--weights=run_iter_{iterations}.caffemodel", "--iterations=1"]
    capsys.readouterr()
    assert main(test) == 0
    accuracy = re.search(r"caffe.cpp:321\] accuracy = (\S+)", capsys.readouterr().err)
    assert float(accuracy[1]) >= enough


def draw_classes(folder: Path, shape: tuple[int, int, int]) -> None:
    """Ten patterns under noise: a training and a test database, and the mean of the first."""
    from caffe_port.proto.binary import write_blob

    generator = np.random.default_rng(2)
    patterns = np.kron(generator.integers(0, 200, (10, shape[0], 4, 4)), np.ones((shape[1] // 4, shape[2] // 4)))
    for name, count in (("train_lmdb", 200), ("test_lmdb", 100)):
        with create_db(str(folder / name), LMDB) as out:
            for i in range(count):
                picture = patterns[i % 10] + generator.integers(0, 55, shape)
                out.put(f"{i:05d}".encode(), encode_datum(picture.astype(np.uint8), i % 10).SerializeToString())
    write_blob(folder / "mean.binaryproto", (patterns.mean(0) + 27).astype(np.float32)[None])


# what --gpu says, place and number of processes on the machine, and the GPUs that are its own
PLACES = [
    ("0,2", 1, 2, [2]),
    ("all", 3, 4, [3]),
    (None, 1, 4, [1]),
    ("0,2", 0, 1, [0, 2]),
    ("0", 1, 2, "2 processes on this machine, but --gpu=0 has 1 GPUs"),
]


@pytest.mark.parametrize("flag, place, processes, expected", PLACES)
def test_each_process_has_its_own_gpu(flag, place, processes, expected, monkeypatch):
    from caffe_port.cli.device import of_process

    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    ids = {"0,2": [0, 2], "all": [0, 1, 2, 3], None: [0], "0": [0]}[flag]
    if isinstance(expected, str):
        with pytest.raises(CaffeError, match=expected):
            of_process(ids, flag, place, processes)
    else:
        assert of_process(ids, flag, place, processes) == expected
    assert of_process([], flag, place, processes) == []


def test_batches_for_a_gpu_are_pinned(tmp_path, monkeypatch):
    from caffe_port.net import Net
    from caffe_port.solver import Solver

    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.shape) or tensor)
    drawn.database(tmp_path)
    drawn.write(tmp_path)
    solver, plain = (Solver("solver.prototxt", log_nets=False) for _ in range(2))
    assert not solver.net.to("cpu").layer("data").stream.pinned
    with monkeypatch.context() as there:
        there.setattr(Net, "device", torch.device("cuda"))
        assert solver.net.float().layer("data").stream.pinned
    for ours, theirs in zip(solver.net.layer("data")(), plain.net.layer("data")(), strict=True):
        assert torch.equal(ours, theirs)
    assert pinned[:2] == [(4, 2, 6, 7), (4,)]


def test_an_environment_of_half_a_team(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "--solver=solver.prototxt"]) == 1
    assert "WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT must be set too" in capsys.readouterr().err
