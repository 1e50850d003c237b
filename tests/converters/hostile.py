"""Files of every format, damaged in ten thousand ways: all must end in our own errors, within a bounded memory.

    python -m tests.converters.hostile --count 10000 [FORMAT ...]

runs them in processes of their own, so that a crash of a C library is seen and its seed is named; one seed alone is
`--first SEED --count 1`. The tests take a few seeds of the same.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import converters
from caffe_port import weight_map
from caffe_port.errors import CaffeError
from caffe_port.proto.binary import LayerBlobs
from tests.converters import nets

Damage = Callable[[bytes, random.Random], bytes]
CHUNK = 2000
"""Seeds that one process takes."""
MEMORY = 4 * 2**30
"""Bytes of address space of a process: what torch and onnxruntime need to be loaded, and some."""
SECONDS = 3600
NUMBERS = ("-1", "0", "1", "3", "4294967295", "2147483648", "9223372036854775807", "1e39", "nan", "9" * 20)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def extremes(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        out[rng.randrange(len(out))] = rng.choice([0, 0xFF, 0x7F, 0x80])
    return bytes(out)


def pieces(data: bytes, rng: random.Random) -> bytes:
    """Some bytes replaced by more or fewer, or by another part of the file."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 3])):
        at, length = rng.randrange(len(out) + 1), rng.choice([0, 1, 2, 8, 64])
        new = rng.randbytes(rng.randrange(9))
        if rng.random() < 0.5:
            other = rng.randrange(len(data))
            new = data[other : other + length]
        out[at : at + length] = new
    return bytes(out)


def sizes(data: bytes, rng: random.Random) -> bytes:
    """Words that a format may take for a size or an offset."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 3])):
        at = rng.randrange(len(out))
        out[at : at + 8] = struct.pack("<q", rng.choice([-1, 2**62, 2**31, 2**40]))[: rng.choice([4, 8])]
    return bytes(out)


def numbers(data: bytes, rng: random.Random) -> bytes:
    """A number in a text, or one of an embedded text, becomes another."""
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return extremes(data, rng)
    at = rng.choice(found)
    return data[: at.start()] + rng.choice(NUMBERS).encode() + data[at.end() :]


def words(data: bytes, rng: random.Random) -> bytes:
    """A word or sign of the text goes, comes twice, or changes its place with another."""
    found = [(m.start(), m.end()) for m in re.finditer(rb"[A-Za-z_]{2,}|[{}\[\]:,'\"]", data)]
    if len(found) < 2:
        return pieces(data, rng)
    (a, b), (c, d) = sorted(rng.sample(found, 2))
    kind = rng.randrange(3)
    if kind == 0:
        return data[:a] + data[b:]
    return data[:b] + b" " + data[a:] if kind == 1 else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


BYTES: tuple[Damage, ...] = (cut, bits, extremes, pieces, sizes)
ANY: tuple[Damage, ...] = (*BYTES, numbers, words)


def damaged(data: bytes, seed: int) -> bytes:
    """One way to damage a file, by seed; of an archive, half of the time a member, under a right check sum."""
    rng = random.Random(seed)
    damage = rng.choice(ANY)
    if data[:4] == b"PK\x03\x04" and rng.random() < 0.5:
        return _member_damaged(data, damage, rng)
    return damage(data, rng)


def _member_damaged(data: bytes, damage: Damage, rng: random.Random) -> bytes:
    whole, out = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    chosen = rng.choice([info for info in whole.infolist() if info.file_size])
    with zipfile.ZipFile(out, "w") as made:
        for info in whole.infolist():
            held = whole.read(info)
            made.writestr(info, damage(held, rng) if info is chosen else held)
    return out.getvalue()


def of_net(name: str, prototxt: str = nets.RESIDUAL) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        converters.write(nets.model(prototxt), folder / name)
        return folder / name

    return make


def foreign_onnx(folder: Path) -> Path:
    """Without our prototxt in it, so that its graph is walked."""
    import onnx

    path = of_net("foreign.onnx")(folder)
    proto = onnx.load(str(path))
    proto.ClearField("metadata_props")
    onnx.save(proto, str(path))
    return path


MAP = """
source: a
target: b
source_names: torch
for: {block: {layer1.0: 2a, layer1.1: 2b}, branch: ["", _seg], part: ['1', '2', '3']}
rules:
  - {from: conv1, to: conv, bias_into: bn1}
  - {from: bn1, to: bn}
  - {from: 'bn1:scale', to: [scale, other]}
  - {from: '{block}.conv{part}', to: 'res{block}{branch}_{part}'}
left_out: {source: ['*[abc]_x', fc], target: [y]}
changes:
  - {layers: [conv], set: 'convolution_param { stride: 2 pad: 1 } name: "c"'}
differences: [one, two]
input:
  layer: conv1
  source: {channels: RGB, mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375]}
  target: {channels: BGR, std: [1, 1, 1]}
"""


def weight_map_file(folder: Path) -> Path:
    (folder / "map.yaml").write_text(MAP)
    return folder / "map.yaml"


def use_map(path: Path) -> None:
    """Both ways, over layers that it names, and on a definition."""
    rules, net = weight_map.read(path), nets.parse(nets.RESIDUAL)
    conv, one = np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)
    blobs = {"conv1": [conv, one], "bn1": [one, one, one[:1]], "bn1:scale": [one, one], "layer1.0.conv1": [conv]}
    for way in (rules, rules.reversed()):
        layers = [LayerBlobs(name, "", list(held)) for name, held in blobs.items()]
        layers += [LayerBlobs(p.source, "", [conv]) for p in way.pairs[:20] if p.source not in blobs]
        weight_map.fit(way, net)
        weight_map.apply(way, layers, {pair.target: 1 for pair in way.pairs[:20]}, adapt_input=True)


def read_whole(path: Path) -> None:
    """What every use of a file begins with: the net, and every blob as the net wants it."""
    converters.read(path).named_blobs()


@dataclass(frozen=True)
class Kind:
    """`make` writes a whole file into a folder; `use` reads one that may be damaged."""

    make: Callable[[Path], Path]
    use: Callable[[Path], object] = read_whole


KINDS = {
    "caffemodel": Kind(of_net("x.caffemodel")),
    "h5": Kind(of_net("x.caffemodel.h5")),
    "prototxt": Kind(of_net("x.prototxt")),
    "binaryproto": Kind(of_net("x.binaryproto", 'layer { name: "m" type: "Parameter" top: "m" '
                               "parameter_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }")),
    "pt": Kind(of_net("x.pt")),
    "safetensors": Kind(of_net("x.safetensors")),
    "npz": Kind(of_net("x.npz")),
    "onnx": Kind(of_net("x.onnx")),
    "foreign_onnx": Kind(foreign_onnx),
    "map": Kind(weight_map_file, use_map),
}  # fmt: skip


@dataclass
class Outcome:
    """`refused`: by our own errors, by class; `taken`: read all the same; `wrong`: other errors by seed."""

    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)


def attack(kind: str, seeds: Iterable[int], folder: Path, told: Callable[[int], None] = lambda seed: None) -> Outcome:
    """Read the file of `kind` damaged by each seed. `told` hears of every seed before it is tried."""
    whole = KINDS[kind].make(folder)
    data, bad = whole.read_bytes(), whole.with_name(f"bad_{whole.name}")
    outcome = Outcome()
    for seed in seeds:
        told(seed)
        bad.write_bytes(damaged(data, seed))
        start = time.perf_counter()
        try:
            KINDS[kind].use(bad)
            outcome.taken += 1
        except CaffeError as e:
            outcome.refused[type(e).__name__] += 1
        except Exception as e:
            outcome.wrong[seed] = f"{type(e).__name__}: {e}"
        outcome.slowest = max(outcome.slowest, (time.perf_counter() - start, seed))
        bad.unlink()  # a reader may have it mapped: the next one is a file of its own
    return outcome


def worker(kind: str, first: int, count: int) -> None:
    """A process: seeds as they begin on stderr (the last one is the one that crashed), the outcome on stdout."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def told(seed: int) -> None:
        print(f"seed {seed}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        outcome = attack(kind, range(first, first + count), Path(folder), told)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{outcome.taken} taken, refused {dict(outcome.refused)}, slowest {outcome.slowest}, peak {peak} MiB")
    for seed, said in outcome.wrong.items():
        print(f"WRONG {seed}: {said[:500]!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="FORMAT", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.kinds[0], args.first, args.count)
        return 0
    failed = 0
    for kind in args.kinds or KINDS:
        for first in range(args.first, args.first + args.count, CHUNK):
            count = min(CHUNK, args.first + args.count - first)
            command = [sys.executable, "-m", "tests.converters.hostile", kind, "--worker", f"--first={first}"]
            try:
                done = subprocess.run([*command, f"--count={count}"], capture_output=True, text=True, timeout=SECONDS)
                said, code, seeds = done.stdout, done.returncode, done.stderr
            except subprocess.TimeoutExpired as e:
                said, code, seeds = "", "out of time", (e.stderr or b"").decode()
            if code:
                said += f"WRONG: the process ended with {code} at {'; '.join(seeds.strip().splitlines()[-3:])}\n"
            failed += said.count("WRONG")
            print(f"{kind} {first}+{count}: {said.strip()}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
