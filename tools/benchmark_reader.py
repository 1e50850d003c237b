"""Speed of the Data layer's reader beside a plain loop over lmdb that decodes and fills batches: part of `make bench`.

Both run in turn in one process over the same database and make the same float32 batches (decoded, cropped, less the
mean); the figure is the median of the ratios (plain loop's time / ours: 1.0 is equal, above is faster), and beside it
that of the processor time, which other work on the machine disturbs less. Ours reads with one thread (nothing is made
ahead), then ahead of time with as many threads as there are cores. `--large GIB` reads once through a database of that
size instead, and prints how much memory of its own the process needed; the pages of the file are the system's cache.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import lmdb
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.data.datum import encode_datum  # noqa: E402 - the line above makes a checkout importable
from caffe_port.data.db import create_db  # noqa: E402
from caffe_port.data.encode import encode  # noqa: E402
from caffe_port.data.image import decode  # noqa: E402
from caffe_port.data.loader import default_workers  # noqa: E402
from caffe_port.layers.base import TEST  # noqa: E402
from caffe_port.layers.data import Data  # noqa: E402
from caffe_port.proto import caffe_pb2, text  # noqa: E402

BATCH = 32
MEAN = (104.0, 117.0, 123.0)
CASES = {  # name: image kind ("" stores the pixels), side of the image, side of the crop
    "jpeg 256": ("jpg", 256, 227),
    "png 128": ("png", 128, 128),
    "raw 256": ("", 256, 227),
    "raw 32": ("", 32, 32),
}


def write(folder: str, kind: str, side: int, count: int) -> None:
    """Photograph-like images: smooth colours with some noise, so that their files are of the usual size."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.linspace(0, 6, side))
    with create_db(folder) as out:
        for i in range(count):
            phases = rng.uniform(0, 3, (3, 1, 1))
            smooth = 127 + 60 * np.sin(wave[None, :, None] + phases) + 60 * np.cos(wave[None, None, :] * phases)
            image = np.clip(smooth + rng.normal(0, 4, (3, side, side)), 0, 255).astype(np.uint8)
            pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
            datum = encode_datum(encoded=encode(pixels, kind), label=i) if kind else encode_datum(image, i)
            out.put(f"{i:08d}".encode(), datum.SerializeToString())


def plain(folder: str, crop: int, batches: int) -> None:
    """What one would write by hand."""
    mean = np.array(MEAN, np.float32)[:, None, None]
    with lmdb.open(folder, readonly=True, lock=False) as env, env.begin() as transaction:
        records = iter(transaction.cursor())
        for _ in range(batches):
            batch, labels = np.empty((BATCH, 3, crop, crop), np.float32), np.empty(BATCH, np.float32)
            for row in range(BATCH):
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
            batch -= mean


def reader(folder: str, crop: int, threads: int) -> Data:
    crop = crop if crop != 32 else 0
    means = " ".join(f"mean_value: {m}" for m in MEAN)
    definition = text.parse(
        f'name: "data" type: "Data" top: "data" top: "label" data_param {{ source: "{folder}" batch_size: {BATCH} '
        f"backend: LMDB prefetch: {4 if threads > 1 else 0} }} "
        f"transform_param {{ crop_size: {crop} {means} }}",
        caffe_pb2.LayerParameter,
    ).message
    layer = Data(definition, TEST)  # crops in the middle, as the plain loop
    layer.setup([])
    layer.set_workers(threads)
    return layer


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


def compare(name: str, a: argparse.Namespace) -> list[dict[str, object]]:
    kind, side, crop = CASES[name]
    images = a.images if side > 32 else 8 * a.images
    with tempfile.TemporaryDirectory(dir=a.scratch) as scratch:
        folder = f"{scratch}/lmdb"
        write(folder, kind, side, images)
        shutil.copytree(folder, f"{scratch}/own")  # one process may open a database once
        batches = images // BATCH
        threads = sorted({1, a.threads})
        layers = {count: reader(f"{scratch}/own", crop, count) for count in threads}
        runs = [partial(plain, folder, crop, batches), *(partial(ours, layers[count], batches) for count in threads)]
        for run in runs:
            clock(run, layers.values())  # both files are in the system's cache now
        rounds = [[clock(run, layers.values()) for run in runs] for _ in range(a.rounds)]
        by_hand, *mine_by_threads = zip(*rounds, strict=True)
        times = dict(zip(threads, mine_by_threads, strict=True))
        for layer in layers.values():
            layer.close()
    figures = []
    for count in threads:
        pairs = list(zip(by_hand, times[count], strict=True))
        ratio, work = (statistics.median(hand[i] / mine[i] for hand, mine in pairs) for i in (0, 1))
        mine, hand = (BATCH * batches / statistics.median(t for t, _ in all_) for all_ in (times[count], by_hand))
        print(
            f"{name:9s} {count} threads   ratio {ratio:5.2f} (work {work:5.2f})   ours {mine:7.0f} /s   "
            f"plain loop {hand:7.0f} /s",
            flush=True,
        )
        figures.append({"case": name, "threads": count, "ratio": round(ratio, 3), "work": round(work, 3)})
        figures[-1] |= {"ours_per_second": round(mine), "plain_per_second": round(hand)}
    return figures


def memory() -> tuple[int, int]:
    """MiB of the process's own memory, and of files that it has mapped."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (int(lines[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def large(gib: float, a: argparse.Namespace) -> None:
    side = 256
    count = int(gib * 2**30 / (3 * side * side)) // BATCH * BATCH
    with tempfile.TemporaryDirectory(dir=a.scratch) as scratch:
        folder = f"{scratch}/lmdb"
        image = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
        with create_db(folder) as out:
            for i in range(count):
                out.put(f"{i:08d}".encode(), encode_datum(image, i).SerializeToString())
        size = Path(folder, "data.mdb").stat().st_size
        layer = reader(folder, 227, a.threads)
        layer()
        start, most = memory(), 0
        begun = time.perf_counter()
        for i in range(count // BATCH):
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
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=default_workers())
    p.add_argument("--only", choices=list(CASES))
    p.add_argument("--large", type=float, metavar="GIB")
    p.add_argument("--scratch", help="where the databases are made")
    p.add_argument("--json", type=Path)
    a = p.parse_args()
    if a.large:
        large(a.large, a)
        return
    print(f"batches of {BATCH}; ratio = plain loop / ours")
    figures = [figure for name in CASES if a.only in (None, name) for figure in compare(name, a)]
    if a.json:
        a.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
