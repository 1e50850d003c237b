"""Speed of the Data layer's reader beside a plain loop over lmdb that decodes and fills batches: part of `make bench`.

Both run in turn in one process over the same database and make the same float32 batches. The plain loop (`plain`,
below) is one thread: for each record a cursor's step, protobuf's parser, the same image decoder as ours or a view of
the pixels, and a copy of the crop's pixels and the label into the batch's arrays; for each batch new arrays, the mean,
the scale. Ours reads with one thread (nothing is made ahead), then ahead of time with as many threads as there are
cores, of which small plain records use one (see `data/loader.py`).

The figure is the median over the rounds of the ratio plain loop / ours (1.0 is equal, above is faster), with the
quartiles; beside it that of the processor time, all threads together, which other work on the machine disturbs less.
More threads cannot make that better, and the time only as far as cores are free: `cores` is what as many threads of
bare arithmetic gained over one in the same rounds, and `load` the system's, which counts this process too.

`--large GIB` reads once through a database of that size instead, and prints how much memory of its own the process
needed; the pages of the file are the system's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import lmdb
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.data.datum import encode_datum
from caffe_port.data.db import create_db
from caffe_port.data.encode import encode
from caffe_port.data.image import decode
from caffe_port.data.loader import default_workers
from caffe_port.layers.base import TEST
from caffe_port.layers.data import Data
from caffe_port.proto import caffe_pb2, text


class Case(NamedTuple):
    """Images of a kind ("" stores the pixels) and shape, and what a batch makes of them."""

    kind: str
    channels: int
    side: int
    crop: int
    mean: tuple[float, ...] = (104.0, 117.0, 123.0)
    scale: float = 1.0
    batch: int = 32


CASES = {
    "jpeg 256": Case("jpg", 3, 256, 227),
    "png 128": Case("png", 3, 128, 128),
    "png 32": Case("png", 3, 32, 32, batch=100),
    "raw 256": Case("", 3, 256, 227),
    "raw 32": Case("", 3, 32, 32),
    "raw 28": Case("", 1, 28, 28, mean=(), scale=0.00390625, batch=64),  # as LeNet reads MNIST
}


def write(folder: str, case: Case, count: int) -> None:
    """Photograph-like images: smooth colours with some noise, so that their files are of the usual size."""
    rng = np.random.default_rng(0)
    channels, side = case.channels, case.side
    wave = np.sin(np.linspace(0, 6, side))
    with create_db(folder) as out:
        for i in range(count):
            phases = rng.uniform(0, 3, (channels, 1, 1))
            smooth = 127 + 60 * np.sin(wave[None, :, None] + phases) + 60 * np.cos(wave[None, None, :] * phases)
            image = np.clip(smooth + rng.normal(0, 4, (channels, side, side)), 0, 255).astype(np.uint8)
            pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
            label = i % 10
            if case.kind:
                datum = encode_datum(encoded=encode(pixels, case.kind), label=label)
            else:
                datum = encode_datum(image, label)
            out.put(f"{i:08d}".encode(), datum.SerializeToString())


def plain(folder: str, case: Case, batches: int) -> None:
    """What one would write by hand."""
    mean = np.array(case.mean, np.float32)[:, None, None]
    crop = case.crop
    with lmdb.open(folder, readonly=True, lock=False) as env, env.begin() as transaction:
        records = iter(transaction.cursor())
        for _ in range(batches):
            batch = np.empty((case.batch, case.channels, crop, crop), np.float32)
            labels = np.empty(case.batch, np.float32)
            for row in range(case.batch):
                datum = caffe_pb2.Datum()
                datum.ParseFromString(next(records)[1])
                if datum.encoded:
                    image = decode(datum.data, True).transpose(2, 0, 1)
                else:
                    shape = datum.channels, datum.height, datum.width
                    image = np.frombuffer(datum.data, np.uint8).reshape(shape)
                first = (image.shape[1] - crop) // 2
                batch[row] = image[:, first : first + crop, first : first + crop]
                labels[row] = datum.label
            if len(mean):
                batch -= mean
            if case.scale != 1:
                batch *= np.float32(case.scale)


def reader(folder: str, case: Case, threads: int) -> Data:
    crop = case.crop if case.crop != case.side else 0
    means = " ".join(f"mean_value: {m}" for m in case.mean)
    definition = text.parse(
        f'name: "data" type: "Data" top: "data" top: "label" data_param {{ source: "{folder}" '
        f"batch_size: {case.batch} backend: LMDB prefetch: {4 if threads > 1 else 0} }} "
        f"transform_param {{ crop_size: {crop} {means} scale: {case.scale} }}",
        caffe_pb2.LayerParameter,
    ).message
    layer = Data(definition, TEST)  # crops in the middle, as the plain loop
    layer.setup([])
    layer.set_workers(threads)
    return layer


def bare(threads: int) -> None:
    """Arithmetic that needs nothing but processors."""
    numbers = np.ones(1 << 14, np.float32)

    def work(times: int) -> None:
        out = np.empty_like(numbers)
        for _ in range(times):
            np.sqrt(numbers, out=out)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [6000 // threads] * threads))


def ours(layer: Data, batches: int) -> None:
    for _ in range(batches):
        layer()


def clock(run: Callable[[], object], layers: Iterable[Data]) -> tuple[float, float]:
    """Seconds that passed, and seconds of work by all threads together; then the layers stand at the first record."""
    start, worked = time.perf_counter(), time.process_time()
    run()
    times = time.perf_counter() - start, time.process_time() - worked
    for layer in layers:
        layer.rewind()  # stops what is made ahead, which would take time from the next run, and be a present to its own
    return times


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    low, middle, high = np.quantile(list(values), (0.25, 0.5, 0.75))
    return float(middle), float(low), float(high)


def compare(name: str, a: argparse.Namespace) -> list[dict[str, object]]:
    case = CASES[name]
    images = a.images if case.side > 32 else 8 * a.images
    with tempfile.TemporaryDirectory(dir=a.scratch) as scratch:
        folder = f"{scratch}/lmdb"
        write(folder, case, images)
        shutil.copytree(folder, f"{scratch}/own")  # one process may open a database once
        batches = images // case.batch
        threads = sorted({1, a.threads})
        layers = {count: reader(f"{scratch}/own", case, count) for count in threads}
        runs = [partial(plain, folder, case, batches), *(partial(ours, layers[count], batches) for count in threads)]
        runs += [partial(bare, count) for count in threads]
        for run in runs:
            clock(run, layers.values())  # both files are in the system's cache now
        rounds = [[clock(run, layers.values()) for run in runs] for _ in range(a.rounds)]
        by_hand, *others = zip(*rounds, strict=True)
        times = dict(zip(threads, others, strict=False))
        bares = dict(zip(threads, others[len(threads) :], strict=True))
        for layer in layers.values():
            layer.close()
    figures = []
    for count in threads:
        pairs = list(zip(by_hand, times[count], strict=True))
        ratio, work = (quartiles(hand[i] / mine[i] for hand, mine in pairs) for i in (0, 1))
        cores = statistics.median(one[0] / many[0] for one, many in zip(bares[1], bares[count], strict=True))
        mine, hand = (case.batch * batches / statistics.median(t for t, _ in all_) for all_ in (times[count], by_hand))
        spread = "{:5.2f} ({:.2f} to {:.2f})".format
        load = os.getloadavg()[0]
        print(
            f"{name:9s} {count} threads   ratio {spread(*ratio)}   processor time {spread(*work)}   "
            f"ours {mine:7.0f} /s   plain loop {hand:7.0f} /s   cores {cores:.2f}   load {load:.1f}",
            flush=True,
        )
        figures.append({"case": name, "threads": count, "ratio": ratio, "work": work, "cores": cores, "load": load})
        figures[-1] |= {"ours_per_second": round(mine), "plain_per_second": round(hand)}
    return figures


def memory() -> tuple[int, int]:
    """MiB of the process's own memory, and of files that it has mapped."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (int(lines[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def large(gib: float, a: argparse.Namespace) -> None:
    case = CASES["raw 256"]
    side, batch = case.side, case.batch
    count = int(gib * 2**30 / (3 * side * side)) // batch * batch
    with tempfile.TemporaryDirectory(dir=a.scratch) as scratch:
        folder = f"{scratch}/lmdb"
        image = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
        with create_db(folder) as out:
            for i in range(count):
                out.put(f"{i:08d}".encode(), encode_datum(image, i).SerializeToString())
        size = Path(folder, "data.mdb").stat().st_size
        layer = reader(folder, case, a.threads)
        layer()
        start, most = memory(), 0
        begun = time.perf_counter()
        for i in range(count // batch):
            layer()
            if i % 20 == 0:
                most = max(most, memory()[0])
        seconds = time.perf_counter() - begun
        layer.close()
    print(f"{count} records, {size / 2**30:.2f} GiB, {count / seconds:.0f} /s")
    print(f"own memory: {start[0]} MiB after the first batch, at most {most} MiB")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--images", type=int, default=512, help="records a database (eight times as many small ones)")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--threads", type=int, default=default_workers())
    p.add_argument("--only", choices=list(CASES))
    p.add_argument("--large", type=float, metavar="GIB")
    p.add_argument("--scratch", help="where the databases are made")
    p.add_argument("--json", type=Path)
    a = p.parse_args()
    if a.large:
        large(a.large, a)
        return
    print("plain loop / ours: median (quartiles)")
    figures = [figure for name in CASES if a.only in (None, name) for figure in compare(name, a)]
    if a.json:
        a.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
