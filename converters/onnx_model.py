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
from collections.abc import Iterator, Mapping
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
from converters import onnx_check, onnx_file
from converters.compare import TOLERANCE
from converters.model import Model
from converters.onnx_check import run_onnx as run_onnx
from converters.onnx_graph import OPSET, GraphBuilder
from converters.optional import has, need

EXTENSIONS = (".onnx",)
IR_VERSION, BATCH = 8, "N"


LARGE = 2**26
"""Bytes of weights from which the proof reads them where they lie in the file, instead of loading the file: 64 MiB."""


@dataclass
class Exported:
    """An ONNX model (without its initializers), its initializers, and the ONNX name of each of our values by id."""

    model: Any
    initializers: dict[str, np.ndarray]
    names: dict[str, str]

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


def write(model: Model, path: Path, dynamic_batch: bool | None = None, external_data: bool | None = None) -> Written:
    """`dynamic_batch` None: where the shape rules allow another batch size and onnxruntime then still agrees with us.

    `external_data` None: weights over 2 GiB go to `<name>.onnx.data`; True and False decide it.
    """
    net = model.borrowed()
    other = other_batch(net)
    if dynamic_batch and other is None:
        raise ConvertError(f"net '{net.name}' does not work at another batch size; leave dynamic_batch out")
    if not has("onnxruntime"):
        if other is not None and dynamic_batch is None:
            model.notes.append("the batch size is fixed: without onnxruntime no other one could be tried")
        return export(net, dynamic=bool(dynamic_batch)).save(path, external_data)
    if other is not None and dynamic_batch is not False:
        written = export(net, dynamic=True).save(path, external_data)
        with written.runnable() as file:
            wrong = onnx_check.disagreement(net, file, batch=other, frugal=written.large)
        if wrong is None:
            return written
        if dynamic_batch:
            raise ConvertError(f"with dynamic_batch, at batch size {other}: {wrong}")
        model.notes.append(f"the batch size is fixed: at batch size {other} {wrong}")
    return export(net, dynamic=False).save(path, external_data)


def check(model: Model, path: Path, written: Written) -> str:
    """onnx's full check with strict shape inference, then every output in onnxruntime against our runtime."""
    onnx = need("onnx", "onnx")
    net = model.borrowed()
    with written.runnable() as file:
        try:
            onnx.checker.check_model(str(file), full_check=True)
        except Exception as e:  # its own errors have no common base but Exception
            raise ConvertError(f"{path.name}: onnx.checker refuses what was written: {e}; nothing was written") from e
        wrong = onnx_check.disagreement(net, file, frugal=written.large)
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


def export(net: Net, dynamic: bool = False, expose: bool = False) -> Exported:
    """The ONNX form of `net`. `dynamic`: batch size "N" instead of the net's own; `expose`: every value is an output.

    Raises UnsupportedError naming all the layers that have no ONNX form.
    """
    helper = need("onnx.helper", "onnx")
    names = value_names(net)
    by_name = {names[id]: value for id, value in net.graph.values.items()}
    shapes = {name: value.shape for name, value in by_name.items()}
    symbolic = _symbolic_shapes(net, names, shapes) if dynamic else dict(shapes)
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
    return Exported(model, builder.initializers, names)


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


def other_batch(net: Net) -> int | None:
    """A batch size, not the net's own, that the shape rules allow as well; None where inputs or rules do not."""
    shapes = {name: net.graph.values[name].shape for name in net.inputs}
    sizes = {shape[0] if shape else None for shape in shapes.values()}
    if len(sizes) != 1 or None in sizes:
        return None
    own = sizes.pop()
    other = own + 2 if own else None
    return other if other and shapes_at(net, other) is not None else None


def shapes_at(net: Net, batch: int) -> dict[str, Shape] | None:
    """The shape of every value by id at another batch size; None where a shape rule refuses it. The net stays."""
    own = {name: net.graph.values[name].shape for name in net.inputs}
    try:
        net.graph.infer_shapes({name: (batch, *shape[1:]) for name, shape in own.items()})
        return {id: value.shape for id, value in net.graph.values.items()}
    except CaffeError:
        return None
    finally:
        net.graph.infer_shapes(own)


def _symbolic_shapes(net: Net, names: Mapping[str, str], shapes: Mapping[str, Shape]) -> dict[str, list[Any]]:
    """Shapes with "N" where a dimension is the batch size, and without a value where it is made of it."""
    own = net.graph.values[net.inputs[0]].shape[0]
    other = other_batch(net)
    assert other is not None, "only asked for where another batch size works"
    elsewhere = {names[id]: shape for id, shape in (shapes_at(net, other) or {}).items()}
    symbolic: dict[str, list[Any]] = {}
    for name, shape in shapes.items():
        dims: list[Any] = []
        for here, there in zip(shape, elsewhere[name], strict=True):
            moves = here != there
            dims.append(here if not moves else BATCH if (here, there) == (own, other) else None)
        symbolic[name] = dims
    return symbolic
