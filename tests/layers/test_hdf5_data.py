"""HDF5Data: Caffe's answers; files, shuffling, ranks, states; lists and files that are no good."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffe_port.errors import CaffeError, DataError
from caffe_port.layers.base import TEST, TRAIN
from tests.layers.data_layer import check_golden, golden_cases, make, tops


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 3, 4 and 1 rows; `l` counts the rows 0 to 7, `x` is ten times that. They are listed in list.txt."""
    monkeypatch.chdir(tmp_path)
    start = 0
    for name, rows in (("a.h5", 3), ("b.h5", 4), ("c.h5", 1)):
        with h5py.File(name, "w") as file:
            file["l"] = np.arange(start, start + rows)
            file["x"] = np.arange(start, start + rows, dtype=np.float64)[:, None, None] * 10 + np.zeros((2, 3))
            file["text"] = [b"x"] * rows
            file["one"] = 1.0
            file.create_group("group")
        start += rows
    Path("list.txt").write_text("a.h5 b.h5\n\nc.h5\n")


def hdf5(batch: int = 3, more: str = "", source: str = "list.txt", names: str = 'top: "l" top: "x"') -> str:
    return f'type: "HDF5Data" {names} hdf5_data_param {{ source: "{source}" batch_size: {batch} {more} }}'


def rows(text: str, batches: int, phase: int = TEST, rank: tuple[int, int] = (0, 1)) -> list[list[int]]:
    layer = make(text, phase)
    layer.set_rank(*rank)
    return [[int(v) for v in tops(layer)[0]] for _ in range(batches)]


@pytest.mark.parametrize("path", golden_cases("HDF5Data"), ids=lambda p: p.stem)
def test_as_caffe(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_golden(path, monkeypatch)


@pytest.mark.parametrize("batch", [1, 3, 8, 19])
def test_wraps_over_files(batch: int) -> None:
    assert sum(rows(hdf5(batch), 4), []) == [i % 8 for i in range(4 * batch)]


def test_tops_stay_together() -> None:
    layer = make(hdf5(5, "shuffle: true"))
    for _ in range(4):
        label, x = tops(layer)
        assert x.shape == (5, 2, 3)
        np.testing.assert_array_equal(x, label[:, None, None] * 10 + np.zeros((2, 3)))


def test_shuffle() -> None:
    """Files in random order and rows inside each; every row once a round; other rounds, other orders."""
    rounds = rows(hdf5(8, "shuffle: true"), 6)
    assert all(sorted(r) == list(range(8)) for r in rounds)
    assert len({tuple(r) for r in rounds}) == 6
    files = [[0 if v < 3 else 1 if v < 7 else 2 for v in r] for r in rounds]
    assert all(sum(a != b for a, b in zip(f, f[1:], strict=False)) == 2 for f in files)
    assert rows(hdf5(8, "shuffle: true"), 6) == rounds


@pytest.mark.parametrize("more", ["", "shuffle: true"])
@pytest.mark.parametrize("world", [2, 3, 11])
def test_ranks_share_the_rows(world: int, more: str) -> None:
    one = np.array(rows(hdf5(2 * world, more), 5, TRAIN))
    ranks = [np.array(rows(hdf5(2, more), 5, TRAIN, (r, world))) for r in range(world)]
    np.testing.assert_array_equal(np.stack(ranks, axis=2).reshape(5, -1), one)
    assert rows(hdf5(2), 2, TEST, (1, world)) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("more", ["", "shuffle: true"])
def test_state(more: str) -> None:
    layer = make(hdf5(3, more))
    for _ in range(5):
        tops(layer)
    state = json.loads(json.dumps(layer.state()))
    want = [tops(layer)[0].tolist() for _ in range(6)]
    other = make(hdf5(3, more), seed=55)
    other.restore(state)
    assert [tops(other)[0].tolist() for _ in range(6)] == want


def other_rows() -> None:
    with h5py.File("bad.h5", "w") as file:
        file["l"], file["x"] = np.arange(3), np.zeros((2, 2, 3))


def other_shape() -> None:
    with h5py.File("bad.h5", "w") as file:
        file["l"], file["x"] = np.arange(3), np.zeros((3, 3, 2))


def garbage() -> None:
    Path("bad.h5").write_bytes(b"<html>" * 100)


@pytest.mark.parametrize(("break_it", "message"), [
    (None, r"bad.h5: not a readable HDF5 file"),
    (garbage, r"bad.h5: not a readable HDF5 file"),
    (other_rows, r"bad.h5: data set 'x' has 2 rows, 'l' has 3; they must be as many"),
    (other_shape, r"bad.h5: rows of data set 'x' are \(3, 2\), in the first file \(2, 3\); all files must agree"),
])
def test_bad_second_file(break_it: Callable[[], None] | None, message: str) -> None:
    if break_it is not None:
        break_it()
    Path("list.txt").write_text("a.h5\nbad.h5")
    layer = make(hdf5(2))
    with pytest.raises(DataError, match=rf"^layer 'd' \(HDF5Data\): {message}"):
        layer(), layer()


@pytest.mark.parametrize(("text", "message"), [
    (hdf5(source="gone.txt"), "gone.txt: the list of HDF5 files cannot be read"),
    (hdf5(source="a.h5"), "a.h5: the list of HDF5 files cannot be read"),
    (hdf5(source="empty.txt"), "empty.txt: the list of HDF5 files is empty"),
    (hdf5(names='top: "q"'), r"a.h5: has no data set 'q' \(named by the top\); it has group, l, one, text, x"),
    (hdf5(names='top: "group"'), "a.h5: has no data set 'group'"),
    (hdf5(names='top: "text"'), "a.h5: data set 'text' is .*; it must be numbers"),
    (hdf5(names='top: "one"'), r"a.h5: data set 'one' is float64 of shape \(\); it must be numbers"),
    (hdf5(0), "batch_size must be given, and at least 1"),
    (hdf5() + " transform_param { scale: 2 }", "HDF5Data does not transform; take transform_param away"),
])
def test_bad_definition(text: str, message: str) -> None:
    Path("empty.txt").write_text(" \n")
    with pytest.raises(CaffeError, match=rf"^layer 'd' \(HDF5Data\): {message}"):
        make(text)


def test_needs_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"reading needs the package h5py .*caffe-port\[hdf5\]"):
        make(hdf5())
