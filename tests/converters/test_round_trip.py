"""Laws over random graphs: Caffe -> ONNX -> Caffe, and the standalone PyTorch source, give the same outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import converters
from caffe_port.errors import UnsupportedError
from caffe_port.net import Net
from converters.compare import difference
from converters.from_onnx import walk
from converters.onnx_check import run_ours
from converters.onnx_model import export
from converters.torch_source import run_source
from converters.torch_source import write as write_source
from tests.converters import drawn_nets

TOLERANCE, CANCELLED = 1e-4, 1e-6
"""Of a blob's scale: a division read back as a product with an inverse rounds twice, and MVN enlarges that. Where
values near 1 cancel, as in the mean of what MVN centred, what is left is rounding: that much may differ in any case."""


def made_outputs(net: Net) -> list[str]:
    return [name for name in net.outputs if name not in net.inputs]


def inputs_of(net: Net, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(net.graph.values[name].shape, np.float32) for name in net.inputs}


def same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    for name, array in ours.items():
        assert array.shape == theirs[name].shape, name
        apart = difference(array, theirs[name])
        assert apart.relative <= TOLERANCE or apart.absolute <= CANCELLED, f"{name}: {apart}"


@settings(max_examples=40, deadline=None)
@given(drawn_nets.nets(), st.integers(0, 99))
def test_caffe_to_onnx_to_caffe(prototxt: str, seed: int) -> None:
    """By the operators alone: the definition that the file also holds is not looked at."""
    net = drawn_nets.model(prototxt, seed).runtime()
    assume(made_outputs(net))
    try:
        exported = export(net)
    except UnsupportedError:  # Slice and Crop of what has the batch in them
        assume(False)
    inputs = inputs_of(net, seed)
    values = run_ours(net, inputs)
    again, blobs = walk(exported.model, exported.initializers, {}, "the net")
    stock = again.runtime()
    back = run_ours(stock, {k: v for k, v in inputs.items() if k in stock.inputs})
    ours = {name: values[net.graph.last[name].id] for name in made_outputs(net)}
    same(ours, {name: back[stock.graph.last[blobs[name]].id] for name in ours})


@settings(max_examples=15, deadline=None)
@given(drawn_nets.nets(), st.integers(0, 99))
def test_caffe_to_onnx_to_caffe_as_files(tmp_path_factory, prototxt: str, seed: int) -> None:
    """The file read again is the same net with the same blobs, bit for bit.

    Not BatchNorm's statistics: ONNX has them divided by the scale factor.
    """
    assume("BatchNorm" not in prototxt)
    folder, model = tmp_path_factory.mktemp("law"), drawn_nets.model(prototxt, seed)
    assume(made_outputs(model.runtime()))
    converters.write(model, folder / "a.onnx", check=False)
    again = converters.read(folder / "a.onnx")
    assert again.prototxt == model.prototxt
    for mine, theirs in zip(model.layers, again.layers, strict=True):
        assert mine.name == theirs.name and all(map(np.array_equal, mine.blobs, theirs.blobs))


@settings(max_examples=20, deadline=None)
@given(drawn_nets.nets(), st.integers(0, 99))
def test_the_standalone_source(tmp_path_factory, prototxt: str, seed: int) -> None:
    path: Path = tmp_path_factory.mktemp("law") / "net.py"
    model = drawn_nets.model(prototxt, seed)
    net = model.runtime()
    assume(made_outputs(net))
    inputs = inputs_of(net, seed)
    values = run_ours(net, inputs)
    write_source(model, path)
    same({name: values[net.graph.last[name].id] for name in made_outputs(net)}, run_source(path, inputs, net))
