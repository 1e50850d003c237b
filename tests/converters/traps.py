"""Nets of one trap each: every net isolates one rule that readers of Caffe's nets are known to get wrong.

A trap is a name, a prototxt and the kind of its inputs; inputs and weights are drawn from the name, so that only what
a genuine Caffe answered has to be stored (tests/golden/traps.npz, written by `tools/trap_table.py --record`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.net import Net
from caffe_port.proto import load
from caffe_port.proto.binary import LayerBlobs
from converters.hub import deployed
from converters.model import Model

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Trap:
    """`prototxt`: the net as a user has it. `values`: "normal", "positive", "index" (whole numbers below 4), or
    "negative", for all inputs or (by name) for one. `zero_factor`: BatchNorm's third blob is 0.

    `golden`: a file of tests/golden/layers that holds net, inputs, weights and answer; then nothing is drawn.
    """

    name: str
    prototxt: str
    values: str = "normal"
    zero_factor: bool = False
    golden: str = ""


@dataclass
class Question:
    """A trap made ready: the net upgraded (not filtered), its weights by layer, its inputs by name."""

    net: Any
    layers: list[LayerBlobs]
    inputs: dict[str, np.ndarray]

    def model(self) -> Model:
        return deployed(Model(self.net, self.layers))


def question(trap: Trap, folder: Path) -> Question:
    """Read the prototxt as a user would, from a file, and draw inputs and weights."""
    path = folder / f"{trap.name}.prototxt"
    path.write_text(trap.prototxt)
    net = load.read_net(path)
    if trap.golden:
        return _from_golden(trap, net)
    model = deployed(Model(net, None))
    rng = np.random.RandomState(zlib.crc32(trap.name.encode()))
    built = Net(model.net)
    inputs = {
        name: _draw(rng, built.graph.values[name].shape, _kind(trap.values, name)) for name in sorted(built.inputs)
    }
    layers: list[LayerBlobs] = []
    for layer in built.layers:
        blobs = [_blob(rng, layer.param.type, i, tuple(b.shape), trap) for i, b in enumerate(layer.blobs)]
        for i, blob in enumerate(layer.present_blobs):
            if blob in layer.shared:
                owner, owner_blob, _ = layer.shared[blob]
                given = next(known for known in layers if known.name == owner.name)
                blobs[i] = given.blobs[owner.present_blobs.index(owner_blob)].reshape(blobs[i].shape)
        if blobs:
            layers.append(LayerBlobs(layer.name, layer.param.type, blobs, [None] * len(blobs)))
    return Question(net, layers, inputs)


def answer(trap: Trap) -> dict[str, np.ndarray]:
    """Every blob of the net that the genuine Caffe gave and that was stored: its outputs, by name."""
    if trap.golden:
        held = np.load(GOLDEN / "layers" / trap.golden)
        return {key[4:]: held[key] for key in held.files if key.startswith("top.")}
    with np.load(GOLDEN / "traps.npz") as held:
        start = f"{trap.name}|"
        return {key[len(start) :].replace("%2F", "/"): held[key] for key in held.files if key.startswith(start)}


def _from_golden(trap: Trap, net: Any) -> Question:
    held = np.load(GOLDEN / "layers" / trap.golden)
    blobs: dict[str, list[Any]] = {}
    for key in sorted(k for k in held.files if k.startswith("param.")):
        blobs.setdefault(key[6:].rpartition(".")[0], []).append(held[key])
    types = {layer.name: layer.type for layer in net.layer}
    layers = [LayerBlobs(name, types[name], arrays, [None] * len(arrays)) for name, arrays in blobs.items()]
    return Question(net, layers, {k[7:]: held[k] for k in held.files if k.startswith("bottom.")})


def golden_traps(files: Iterable[str]) -> list[Trap]:
    """Rules that the Caffe at hand could not be asked about, as another one answered them."""
    traps = []
    for file in files:
        held = np.load(GOLDEN / "layers" / file)
        assert int(str(held["phase"]) == "TEST"), file
        name = file.lower().replace("/", "_").removesuffix(".npz")
        traps.append(Trap(name, str(held["prototxt"]), golden=file))
    return traps


def _kind(values: str, name: str) -> str:
    """`values` is one word for all inputs, or words by name as in "x:normal i:index"."""
    by_name = dict(word.split(":") for word in values.split() if ":" in word)
    return by_name.get(name, "normal") if by_name else values


def _draw(rng: np.random.RandomState, shape: tuple[int, ...], kind: str) -> np.ndarray:
    normal = rng.standard_normal(shape).astype(np.float32)
    if kind == "positive":
        return np.abs(normal) + np.float32(0.25)
    if kind == "negative":
        return -np.abs(normal) - np.float32(0.25)
    if kind == "index":
        return rng.randint(0, min(4, shape[0] if len(shape) == 1 else 4), shape).astype(np.float32)
    if kind == "steps":  # a recurrent layer's `cont`: every sequence starts at the first step
        steps = (rng.uniform(size=shape) > 0.3).astype(np.float32)
        steps[0] = 0
        return steps
    return normal


def _blob(rng: np.random.RandomState, type: str, index: int, shape: tuple[int, ...], trap: Trap) -> np.ndarray:
    if type == "BatchNorm" and index == 1:
        return rng.uniform(0.5, 3.0, shape).astype(np.float32)
    if type == "BatchNorm" and index == 2:
        return np.full(shape, 0.0 if trap.zero_factor else 2.5, np.float32)
    return (0.5 * rng.standard_normal(shape)).astype(np.float32)
