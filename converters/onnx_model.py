"""`.onnx`: written by walking our graph, so that names are Caffe's and a layer that has no exact form is refused by
name.

Names in the file. Inputs carry their blob's name, and the last version of every blob carries the blob's name, since
that is what a user of the net looks for; earlier versions of a blob that in-place layers change are `conv1@0`,
`conv1@1` ... (where an in-place layer works on an input itself, the input keeps the name). Caffe's automatic Splits
leave no trace. Opset 17, IR 8. Weights are initializers `<layer>.<blob>`. The prototxt is in the metadata.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import caffe_port
from caffe_port.errors import CaffeError, ConvertError, UnsupportedError
from caffe_port.graph import Node
from caffe_port.layers.base import Shape
from caffe_port.net import Net
from caffe_port.proto import text
from converters import onnx_axes, onnx_check, onnx_file
from converters.compare import TOLERANCE
from converters.model import Model
from converters.onnx_axes import Axis
from converters.onnx_check import run_onnx as run_onnx
from converters.onnx_graph import OPSET, GraphBuilder
from converters.optional import has, need

EXTENSIONS = (".onnx",)
IR_VERSION = 8


LARGE = 2**26
"""Bytes of weights from which the proof reads them where they lie in the file, instead of loading the file: 64 MiB."""


@dataclass
class Exported:
    """An ONNX model (without its initializers), its initializers, and the ONNX name of each of our values by id.

    `dynamic`: it takes any batch size.
    """

    model: Any
    initializers: dict[str, np.ndarray]
    names: dict[str, str]
    dynamic: bool = False

    def save(self, path: Path, external: bool | None = None) -> Written:
        return Written(self, path, onnx_file.save(self.model, self.initializers, path, external))

    def to_bytes(self) -> bytes:
        """The whole file as bytes: for small nets."""
        whole = io.BytesIO()
        onnx_file.write_inline(self.model, self.initializers, whole)
        return whole.getvalue()


@dataclass
class Written:
    """An exported model in its file, and where in it (or beside it) the initializers' bytes are."""

    exported: Exported
    path: Path
    places: dict[str, onnx_file.Place]

    @property
    def large(self) -> bool:
        return sum(place.length for place in self.places.values()) > LARGE

    @contextlib.contextmanager
    def runnable(self, other: Exported | None = None) -> Iterator[Path]:
        """A file to run: the file itself; of a large one, or of an `other` graph over the same weights, the graph with
        references to the bytes in the file, which costs neither time nor memory."""
        if other is None and not self.large:
            yield self.path
            return
        probe, graph = self.path.with_name(self.path.name + ".probe"), other or self.exported
        onnx_file.save_probe(graph.model, graph.initializers, self.places, probe)
        try:
            yield probe
        finally:
            probe.unlink()


def read(path: Path, net: Any | None) -> Model:
    """ONNX as stock Caffe layers: see from_onnx.py."""
    from converters import from_onnx

    if net is not None:
        raise ConvertError(f"{path} is a net itself: model= goes with a file of weights")
    return from_onnx.read(path)


def write(
    model: Model,
    path: Path,
    dynamic_batch: bool | None = None,
    dynamic_size: bool = False,
    external_data: bool | None = None,
    check: bool = True,
) -> Written:
    """`dynamic_batch` None: where the shape rules allow another batch size and onnxruntime then still agrees with us;
    the latter is not tried without `check`. `dynamic_size`: any height and width of the inputs; a net that does not
    allow it is a ConvertError that says why.

    `external_data` None: weights over 2 GiB go to `<name>.onnx.data`; True and False decide it.
    """
    net = model.borrowed()
    batch = onnx_axes.batch_axis(net)
    if dynamic_batch and batch is None:
        raise ConvertError(f"net '{net.name}' does not work at another batch size; leave dynamic_batch out")
    if check and not has("onnxruntime") and dynamic_batch is None and batch is not None:
        model.notes.append("the batch size is fixed: without onnxruntime no other one could be tried")
        dynamic_batch = False
    sizes = onnx_axes.size_axes(net) if dynamic_size else []
    axes = [batch, *sizes] if batch is not None and dynamic_batch is not False else sizes
    written = export(net, axes).save(path, external_data)
    if not check and batch in axes and dynamic_batch is None:
        model.notes.append("any batch size, by the shape rules: as asked, none was tried")
    if not check or not has("onnxruntime"):
        return written
    if batch in axes and (wrong := _disagreement(model, net, written, batch.shapes)):
        if dynamic_batch:
            raise ConvertError(f"with dynamic_batch, at {_shown(batch.shapes)}: {wrong}")
        model.notes.append(f"the batch size is fixed: at {_shown(batch.shapes)} {wrong}")
        written = export(net, sizes).save(path, external_data)
    for shapes in onnx_axes.size_trials(net) if sizes else []:
        if wrong := _disagreement(model, net, written, shapes):
            raise ConvertError(f"its ONNX form is for its own height and width only: at {_shown(shapes)} {wrong}")
    return written


def _disagreement(model: Model, net: Net, written: Written, shapes: Mapping[str, Shape] | None) -> str | None:
    model.release()
    with written.runnable() as file:
        return onnx_check.disagreement(net, file, shapes, frugal=written.large)


def _shown(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def check(model: Model, path: Path, written: Written) -> str:
    """onnx's full check with strict shape inference, then every output in onnxruntime against our runtime."""
    onnx = need("onnx", "onnx")
    net = model.borrowed()
    with written.runnable() as file:
        try:
            onnx.checker.check_model(str(file), full_check=True)
        except Exception as e:  # its own errors have no common base but Exception
            raise ConvertError(f"{path.name}: onnx.checker refuses what was written: {e}; nothing was written") from e
    # One that has been tried at another batch size need not be at all of a large one.
    own = onnx_axes.own_shapes(net)
    few = {name: (1, *shape[1:]) for name, shape in own.items()} if written.large and written.exported.dynamic else None
    wrong = _disagreement(model, net, written, few)
    if wrong is not None:
        wrong = first_difference(net, written) or wrong
        raise ConvertError(f"{path.name}: onnxruntime and our runtime disagree: {wrong}; nothing was written")
    outputs = len(written.exported.model.graph.output)
    return f"onnx.checker passes; onnxruntime agrees with our runtime at {outputs} output(s) to {TOLERANCE:g}"


def first_difference(net: Net, written: Written) -> str | None:
    """The first layer, in the net's order, whose top onnxruntime computes differently."""
    exposed = export(net, expose=True)
    with written.runnable(exposed) as file:
        return onnx_check.disagreement(net, file, frugal=written.large)


def export(net: Net, dynamic: Sequence[Axis] = (), expose: bool = False) -> Exported:
    """The ONNX form of `net`. `dynamic`: the axes that may have any size; `expose`: every value is an output.

    Raises UnsupportedError naming all the layers that have no ONNX form.
    """
    helper = need("onnx.helper", "onnx")
    names = value_names(net)
    by_name = {names[id]: value for id, value in net.graph.values.items()}
    shapes = {name: value.shape for name, value in by_name.items()}
    symbolic = {names[id]: dims for id, dims in onnx_axes.symbolic(net, dynamic).items()}
    builder = GraphBuilder(shapes)
    _write_layers(net, builder, names)
    inputs = [names[name] for name in net.inputs]
    made = dict.fromkeys(names[top.id] for node in net.graph.nodes if not _is_source(node) for top in node.tops)
    outputs = list(made) if expose else [names[net.graph.last[name].id] for name in net.outputs if _made(net, name)]
    if not outputs:
        raise ConvertError(f"net '{net.name}' has no layer that makes an output; there is nothing to convert")

    def info(name: str) -> Any:
        return helper.make_tensor_value_info(name, 1, symbolic[name])  # 1: FLOAT

    graph = helper.make_graph(
        builder.nodes,
        net.name or "net",
        [info(n) for n in inputs],
        [info(n) for n in outputs],
        value_info=[info(n) for n in made if n not in outputs],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="caffe_port",
        producer_version=caffe_port.__version__,
    )
    definition = type(net.definition)()
    definition.CopyFrom(net.definition)
    definition.ClearField("state")  # which the filter wrote there
    helper.set_model_props(model, {"prototxt": text.format(definition)})
    return Exported(model, builder.initializers, names, any(axis.name == onnx_axes.BATCH for axis in dynamic))


def value_names(net: Net) -> dict[str, str]:
    """Our value ids to names in the file; see the module's docstring."""
    graph = net.graph
    alias: dict[str, str] = {}
    for node in graph.nodes:
        if is_automatic_split(net, node):
            source = alias.get(node.bottoms[0].id, node.bottoms[0].id)
            alias.update({top.id: source for top in node.tops})
    names: dict[str, str] = {}
    for id, value in graph.values.items():
        plain = value.version == 0 if value.name in graph.inputs else value is graph.last[value.name]
        names[id] = value.name if plain else _free(f"{value.name}@{value.version}", graph.last)
    return {id: names[alias.get(id, id)] for id in graph.values}


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "'"
    return name


def is_automatic_split(net: Net, node: Node) -> bool:
    return node.param.type == "Split" and all(layer.name != node.name for layer in net.definition.layer)


def _is_source(node: Node) -> bool:
    return node.layer.role == "input"


def _made(net: Net, output: str) -> bool:
    """Whether a layer makes the output: an input that nobody reads is Caffe's output too, but no computation."""
    return output not in net.inputs or net.graph.last[output].version > 0


def _write_layers(net: Net, builder: GraphBuilder, names: Mapping[str, str]) -> None:
    refused = []
    for node in net.graph.nodes:
        if _is_source(node) or is_automatic_split(net, node):
            continue
        try:
            builder.write(node.layer, [names[b.id] for b in node.bottoms], [names[t.id] for t in node.tops])
        except CaffeError as e:
            refused.append(str(e))
    if refused:
        raise UnsupportedError(f"net '{net.name}' has no exact ONNX form:\n  " + "\n  ".join(refused))
