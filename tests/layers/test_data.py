"""Data: Caffe's answers, and what Caffe does not answer: ranks, seeds, states, bad records."""

from __future__ import annotations

import gc
import io
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe_port import log
from caffe_port.data import db_lmdb, image, loader, records
from caffe_port.data.datum import encode_datum
from caffe_port.data.db import LEVELDB, create_db, open_db
from caffe_port.data.dropped import close_dropped
from caffe_port.errors import CaffeError, DataError
from caffe_port.layers.base import TEST, TRAIN
from tests.data.test_db import leveldb_package
from tests.layers.data_layer import check_golden, golden_cases, labels, make, tops


def picture(i: int, shape: tuple[int, ...] = (3, 6, 7)) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, datums: Iterable[Any]) -> Path:
    with create_db(path) as out:
        for i, datum in enumerate(datums):
            out.put(b"%04d" % i, datum if isinstance(datum, bytes) else datum.SerializeToString())
    return path


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """Records 0 to 6, labelled so."""
    return write(tmp_path / "seven", (encode_datum(picture(i), i) for i in range(7)))


def data(source: Path, batch: int = 2, transform: str = "", more: str = "", label: bool = True) -> str:
    return (f'type: "Data" top: "data" {"top: " + chr(34) + "label" + chr(34) if label else ""} '
            f'transform_param {{ {transform} }} '
            f'data_param {{ source: "{source}" batch_size: {batch} backend: LMDB {more} }}')


@pytest.mark.parametrize("with_opencv", [True, False])
@pytest.mark.parametrize("path", golden_cases("Data"), ids=lambda p: p.stem)
def test_as_caffe(path: Path, with_opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_opencv:
        monkeypatch.setattr(image, "opencv", lambda: None)
    check_golden(path, monkeypatch)


@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_wraps_in_order(prefetch: int, seven: Path) -> None:
    layer = make(data(seven, 3, more=f"prefetch: {prefetch}"))
    assert labels(layer, 5) == [i % 7 for i in range(15)]
    layer.close()


def test_says_that_it_restarts(seven: Path) -> None:
    said = io.StringIO()
    log.redirect(said)
    try:
        layer = make(data(seven, 7, more="prefetch: 0"))
        labels(layer, 1)
        layer.verbose = True
        labels(layer, 2)
    finally:
        log.redirect(None)
    lines = said.getvalue().splitlines()
    assert [line.split("] ")[1] for line in lines] == ["Restarting data prefetching from start."] * 2
    assert "data_layer.cpp:73" in lines[0]


@pytest.mark.parametrize(("rank", "want"), [(0, [0, 3, 6, 2, 5, 1]), (1, [1, 4, 0, 3, 6, 2]), (2, [2, 5, 1, 4, 0, 3])])
def test_ranks_share_the_records(rank: int, want: list[int], seven: Path) -> None:
    layer = make(data(seven, 2), TRAIN)
    layer.set_rank(rank, 3)
    assert labels(layer, 3) == want


def test_ranks_together_read_what_one_reads(seven: Path) -> None:
    one = labels(make(data(seven, 6), TRAIN), 3)
    ranks = []
    for rank in range(3):
        layer = make(data(seven, 2), TRAIN)
        labels(layer, 2)
        layer.rewind()
        layer.set_rank(rank, 3)
        ranks.append(np.array(labels(layer, 3)).reshape(3, 2))
    together = np.stack(ranks, axis=2).reshape(-1)  # batch, record, rank
    assert together.tolist() == one


def test_ranks_all_read_all_in_the_test_phase(seven: Path) -> None:
    layer = make(data(seven, 2), TEST)
    layer.set_rank(1, 3)
    assert labels(layer, 2) == [0, 1, 2, 3]


def test_ranks_crop_differently(tmp_path: Path) -> None:
    """The same picture everywhere, so that only the random stream tells the ranks apart."""
    source = write(tmp_path / "same", [encode_datum(picture(0), 0)] * 2)
    batches = []
    for rank in (0, 0, 1):
        layer = make(data(source, 9, "crop_size: 2 mirror: true"), TRAIN)
        layer.set_rank(rank, 2)
        batches.append(tops(layer)[0])
    np.testing.assert_array_equal(batches[0], batches[1])
    assert not np.array_equal(batches[0], batches[2])


@pytest.mark.parametrize("transform", ["crop_size: 3 mirror: true scale: 0.5", "mirror: true mean_value: 7"])
@pytest.mark.parametrize(("workers", "small"), [(1, 0), (3, 0), (3, 999)])
def test_seeded_runs_repeat(
    workers: int, small: int, transform: str, seven: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the threads, and whether each is read by itself or all together: random numbers belong to records."""
    monkeypatch.setattr(loader, "SPREAD_FROM", 1)
    monkeypatch.setattr(records, "SMALL", 0)
    text = data(seven, 5, transform)
    want = make(text, TRAIN)
    want.set_workers(1)
    other = make(text, TRAIN, seed=4)
    batches = [[tops(layer) for _ in range(4)] for layer in (want, other)]
    monkeypatch.setattr(records, "SMALL", small)
    again = make(text, TRAIN)
    again.set_workers(workers)
    batches.insert(1, [tops(again) for _ in range(4)])
    assert (again.stream.loader.pool is None) == (workers == 1 or small > 0)
    for first, second in zip(batches[0], batches[1], strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(batches[0], batches[2], strict=True))


def test_draws_from_torch_only_when_random(seven: Path) -> None:
    torch.manual_seed(3)
    want = torch.rand(1)
    make(data(seven))
    assert torch.rand(1) == want
    make(data(seven, transform="mirror: true"))
    assert torch.rand(1) != want


def test_rand_skip_does_nothing_as_in_caffe_and_is_told(seven: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert {labels(make(data(seven, 1, more="rand_skip: 4"), TRAIN, seed), 1)[0] for seed in range(9)} == {0}
    assert "rand_skip is ignored" in capfd.readouterr().err


@pytest.mark.parametrize("rank", [0, 1])
def test_state_of_the_last_delivered_batch(rank: int, seven: Path) -> None:
    text = data(seven, 2, "crop_size: 3 mirror: true")
    layer = make(text, TRAIN)
    layer.set_rank(rank, 2)
    for _ in range(3):
        tops(layer)
    state = json.loads(json.dumps(layer.state()))
    want = [tops(layer) for _ in range(6)]
    other = make(text, TRAIN, seed=99)
    other.set_rank(rank, 2)
    tops(other)
    other.restore(state)
    assert other.state() == state
    for batch in want:
        for a, b in zip(batch, tops(other), strict=True):
            np.testing.assert_array_equal(a, b)
    layer.restore(state)
    np.testing.assert_array_equal(tops(layer)[0], want[0][0])


def test_state_before_the_first_batch(seven: Path) -> None:
    layer = make(data(seven, 2, "mirror: true"))
    state = layer.state()
    want = tops(layer)[0]
    layer.restore(state)
    np.testing.assert_array_equal(tops(layer)[0], want)


def test_state_of_another_database(seven: Path, tmp_path: Path) -> None:
    layer = make(data(seven, 6))
    labels(layer, 1)
    other = make(data(write(tmp_path / "two", [encode_datum(picture(i), i) for i in range(2)])))
    with pytest.raises(DataError, match=r"layer 'd' \(Data\): .*two: there is no record b'0006'; is it the same"):
        other.restore(layer.state())


def test_reads_ahead_no_more_than_prefetch(seven: Path) -> None:
    layer = make(data(seven, 2, more="prefetch: 3"))
    made = []
    load = layer.stream.loader.load
    layer.stream.loader.load = lambda: made.append(0) or load()
    tops(layer)
    for _ in range(100):
        threading.Event().wait(0.001)
    assert len(made) == 4  # one delivered, three ahead
    layer.close()


@pytest.mark.parametrize("drop", [lambda layer: layer.close(), lambda layer: None], ids=["close", "drop"])
def test_lets_go(drop: Callable[[Any], None], seven: Path, tmp_path: Path) -> None:
    layer = make(data(seven, more="prefetch: 2"))
    tops(layer)
    drop(layer)
    drop(layer)
    del layer
    gc.collect()
    close_dropped()
    assert "prefetch d" not in [t.name for t in threading.enumerate()]
    assert not any(str(tmp_path) in path for path in db_lmdb._open)


def test_dropped_waits_for_nothing(seven: Path) -> None:
    """The collector may come while a thread is started: joining another one there would never end."""
    layer = make(data(seven, more="prefetch: 2"))
    tops(layer)
    go_on, stream = threading.Event(), layer.stream
    load = stream.loader.load
    stream.loader.load = lambda: go_on.wait() and load()
    tops(layer)
    del layer
    gc.collect()
    assert not stream.closed
    go_on.set()
    with open_db(seven):  # whoever opens something closes what was left
        assert stream.closed


def test_closed(seven: Path) -> None:
    layer = make(data(seven))
    layer.close()
    with pytest.raises(CaffeError, match=r"layer 'd' \(Data\): it was closed"):
        layer()


def test_labels_are_not_read_where_none_are_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "db", [encode_datum(picture(0))])
    assert len(tops(make(data(source, label=False)))) == 1


GOOD = [encode_datum(picture(i), i) for i in range(4)]
BAD = {
    "not a datum": (b"\x22\xff\xff\x00", "", r"record '0002': its 4 bytes are not a Datum"),
    "no label": (encode_datum(picture(9)), "", r"record '0002': it has no label; take the layer's second top away"),
    "size": (encode_datum(picture(9, (3, 6, 8)), 9), "",
             r"record '0002': it is \(3, 6, 8\) .*record '0000' of the same batch is \(3, 6, 7\); give a crop_size"),
    "channels": (encode_datum(picture(9, (1, 6, 7)), 9), "crop_size: 5", r"record '0002': it is \(1, 5, 5\)"),
    "small": (encode_datum(picture(9, (3, 6, 4)), 9), "crop_size: 5", r"record '0002': .*, smaller than crop_size 5"),
    "image": (encode_datum(encoded=b"x", label=9), "", r"record '0002': its image does not decode"),
    "means": (encode_datum(picture(9, (2, 6, 7)), 9), "mean_value: [1, 2, 3]", r"record '0002': .* 3 mean_values"),
    "empty": (encode_datum(np.zeros((3, 0, 7), np.uint8), 9), "", r"record '0002': channels, height and width are"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("workers", [1, 3])
def test_bad_record(name: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that names layer, source and key, each time; or, on request, the record is left out and counted."""
    monkeypatch.setattr(loader, "SPREAD_FROM", 1)
    datum, transform, message = BAD[name]
    source = write(tmp_path / "db", [*GOOD[:2], datum, *GOOD[2:]])
    layer = make(data(source, 4, transform))
    layer.set_workers(workers)
    for _ in range(2):
        with pytest.raises(DataError, match=rf"^layer 'd' \(Data\): {source}: {message}"):
            tops(layer)
    layer.close()
    with loader.skipping_bad_records():
        layer = make(data(source, 4, transform, "prefetch: 0"))
    assert labels(layer, 3) == [0, 1, 2, 3] * 3
    assert layer.skipped == 3


def test_bad_first_record(tmp_path: Path) -> None:
    source = write(tmp_path / "db", [b"\x22\xff\xff\x00", *GOOD])
    with pytest.raises(DataError, match=r"layer 'd' \(Data\): .*record '0000': its 4 bytes are not a Datum"):
        make(data(source))
    assert not any(str(tmp_path) in path for path in db_lmdb._open)
    with loader.skipping_bad_records():
        layer = make(data(source, more="prefetch: 0"))
    assert labels(layer, 1) == [0, 1]
    assert layer.skipped == 1


def test_nothing_but_bad_records(tmp_path: Path) -> None:
    source = write(tmp_path / "db", [encode_datum(picture(0))] * 3)
    with loader.skipping_bad_records(), pytest.raises(DataError, match="the 1000 records before it are bad too"):
        make(data(source))


@pytest.mark.parametrize(("text", "message"), [
    ('type: "Data" top: "d" data_param { batch_size: 1 backend: LMDB }', "no database is named: set data_param.source"),
    (data(Path("nowhere")), "nowhere: there is no such database"),
    (data(Path("nowhere"), 0), "batch_size must be given, and at least 1"),
    ('type: "Data" top: "d" transform_param { mean_file: "x" mean_value: 1 } data_param { source: "s" batch_size: 1 }',
     "mean_file and mean_value exclude each other"),
])
def test_bad_definition(text: str, message: str) -> None:
    with pytest.raises(CaffeError, match=rf"^layer 'd' \(Data\): {message}"):
        make(text)


def test_memory_is_used_again_but_never_what_somebody_holds(seven: Path) -> None:
    layer = make(data(seven, 2, more="prefetch: 0"))
    kept = [layer()[0] for _ in range(3)]
    assert len({t.data_ptr() for t in kept}) == 3
    want = [t.clone() for t in kept]
    views = [t[1:].numpy() for t in kept]
    free = {t.data_ptr() for t in kept[1:]}
    del kept[1:]
    assert layer()[0].data_ptr() not in free  # the views hold the memory
    views.pop()
    assert layer()[0].data_ptr() in free
    np.testing.assert_array_equal(kept[0], want[0])
    np.testing.assert_array_equal(views[1], want[1][1:])


def test_memory_for_a_gpu_is_not_used_again_by_us(seven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU may still be fetching from what was delivered and dropped; only torch's allocator knows when it is done."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    layer, plain = (make(data(seven, 2, more="prefetch: 0")) for _ in range(2))
    layer.pin()
    given = [layer() for _ in range(5)]
    own = layer.stream.loader.arrays.arrays
    assert len(own) == 1, "free again after every copy"
    for pinned in given:
        assert not any(np.shares_memory(top.numpy(), own[0]) for top in pinned)
        for top, want in zip(pinned, plain(), strict=True):
            assert torch.equal(top, want)


@pytest.mark.parametrize("rank", [0, 1])
def test_leveldb_is_read_as_lmdb(rank: int, seven: Path, tmp_path: Path) -> None:
    leveldb_package()
    with create_db(tmp_path / "level", LEVELDB) as out:
        for i in (3, 1, 0, 6, 2, 5, 4):
            out.put(b"%04d" % i, encode_datum(picture(i), i).SerializeToString())
    text = data(seven, 2, "mirror: true crop_size: 3")
    both = [make(t, TRAIN) for t in (text, text.replace("LMDB", "LEVELDB").replace(str(seven), f"{tmp_path}/level"))]
    for layer in both:
        layer.set_rank(rank, 2)
    states = []
    for _ in range(6):
        for a, b in zip(*(tops(layer) for layer in both), strict=True):
            np.testing.assert_array_equal(a, b)
        states.append([layer.state() for layer in both])
    assert all(a == b for a, b in states)
    for layer in both:
        layer.restore(states[2][0])  # a place in the one is a place in the other
    assert labels(both[0], 3) == labels(both[1], 3)
