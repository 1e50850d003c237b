"""ONNX -> Caffe: the graph, operator by operator, as layers that stock BVLC Caffe loads.

A file that we wrote holds its prototxt; where the same export made again gives the same graph, that net and the
initializers are taken, so nothing is lost. Every other graph is walked (from_onnx_ops.py), what only depends on
constants being computed first; everything without an exact form is refused at once, by name and with the reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import CaffeError, ConvertError, UnsupportedError, WireError
from converters.compare import TOLERANCE, difference
from converters.from_onnx_op import Cut, Op, Places, Truth, Whole
from converters.from_onnx_ops import write
from converters.model import Model, blob_slots, from_named, parse_net
from converters.onnx_eval import evaluate
from converters.optional import has, need
from converters.stock import Inexact, Stock

OPSETS = range(9, 23)
RANDOM = frozenset("Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split())
"""What has a value of its own every time, also of constants."""
ROOM = 2**30
"""Bytes that constants may become all together, besides four times what the file stores (of int8, floats)."""
Arrays = dict[str, np.ndarray]


def read(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Model:
    """`shapes`: of inputs whose axes the file leaves open; an open first axis is 1 without them."""
    onnx = need("onnx", "onnx")
    try:
        proto = onnx.load(str(path))
        arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    except Exception as e:  # protobuf's and NumPy's errors on damaged files, and a missing external file's
        raise WireError(f"{path}: damaged, or not an ONNX file: {type(e).__name__}: {e}") from e
    ours = _ours(proto, arrays, path)
    if ours is not None and not shapes:
        return ours
    model, blobs = walk(proto, arrays, dict(shapes or {}), str(path))
    if has("onnxruntime"):
        whole = [i.name for i in proto.graph.input if i.name not in arrays and _kind(i, str(path)) is Whole]
        _prove(model, path, blobs, whole)
    return model


def _ours(proto: Any, arrays: Arrays, path: Path) -> Model | None:
    """The net that the file says it was exported from, where exporting it again gives this very graph."""
    from converters import onnx_model

    prototxt = next((entry.value for entry in proto.metadata_props if entry.key == "prototxt"), None)
    if prototxt is None:
        return None
    try:
        net = parse_net(prototxt, path)
        known = {slot.key for slot in blob_slots(net)}
        model = from_named({name: array for name, array in arrays.items() if name in known}, net, str(path))
        again = onnx_model.export(model.runtime())
    except CaffeError:
        return None
    same = list(again.model.graph.node) == list(proto.graph.node) and again.initializers.keys() == arrays.keys()
    return model if same and all(np.array_equal(again.initializers[k], v) for k, v in arrays.items()) else None


def walk(proto: Any, arrays: Arrays, shapes: dict[str, tuple[int, ...]], where: str) -> tuple[Model, dict[str, str]]:
    """The graph as stock layers, and the blob of each of its outputs."""
    helper = need("onnx.helper", "onnx")
    versions = {o.domain: o.version for o in proto.opset_import}
    if versions.get("", 0) not in OPSETS:
        raise UnsupportedError(f"{where}: opset {versions.get('')}; read are {OPSETS.start} to {OPSETS.stop - 1}")
    stock, values, refused = Stock(proto.graph.name or "net"), dict(arrays), []
    names: dict[str, str] = {}
    for given in proto.graph.input:
        if given.name not in arrays:
            blob = stock.input(given.name, _shape(given, shapes, where))
            names[given.name] = _kind(given, where)(blob)
    lost: set[str] = set()
    room = ROOM + 4 * sum(a.nbytes for a in arrays.values())
    nodes = deque(proto.graph.node)
    while nodes:
        node = nodes.popleft()
        if node.op_type == "If" and node.input[0] in values:
            nodes.extendleft(reversed(_branch(node, values)))
            continue
        if lost & set(node.input):  # what comes after a refused operation is not looked at
            lost.update(node.output)
            continue
        if node.op_type not in RANDOM and all(not name or name in values for name in node.input):
            made = _constant(node, values, versions, room, where)
            room -= sum(a.nbytes for a in made.values())
            values.update(made)
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [names.get(i, values.get(i)) if i else None for i in node.input]
        name = node.output[0] or node.name or node.op_type
        op = Op(node.op_type, name, inputs, attributes, len([o for o in node.output if o]), versions)
        try:
            if node.domain not in ("", "ai.onnx"):
                raise Inexact(f"it is of the domain {node.domain}")
            if node.op_type in ("Shape", "Size"):
                values[node.output[0]] = _measure(op, stock)
                continue
            tops = _written(op, stock)
        except (Inexact, CaffeError) as e:
            refused.append(f"node '{name}' ({node.op_type}): {e}")
            lost.update(node.output)
            continue
        names.update(zip([o for o in node.output if o], tops, strict=False))
    if refused:
        raise UnsupportedError(f"{where}: has no exact form in stock Caffe layers:\n  " + "\n  ".join(refused))
    outputs = {}
    for name in (output.name for output in proto.graph.output):
        outputs[name] = kind = names.get(name) or stock.constant(values[name], name)
        if isinstance(kind, Cut | Truth | Places):
            raise UnsupportedError(f"{where}: output '{name}': {kind.why}")
    return stock.model(), finish(stock, {name: str(blob) for name, blob in outputs.items()})


def _written(op: Op, stock: Stock) -> list[str]:
    try:
        return write(op, stock)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as e:
        raise Inexact(f"it is not as ONNX defines it: {type(e).__name__}: {e}") from e


def _branch(node: Any, values: Arrays) -> list[Any]:
    """The nodes of the branch that an If with a constant condition takes; the branch's constants go to `values`."""
    helper, numpy_helper = need("onnx.helper", "onnx"), need("onnx.numpy_helper", "onnx")
    taken = "then_branch" if values[node.input[0]].all() else "else_branch"
    (branch,) = (a.g for a in node.attribute if a.name == taken)
    values.update({t.name: numpy_helper.to_array(t) for t in branch.initializer})
    pairs = zip(branch.output, node.output, strict=True)
    return [*branch.node, *(helper.make_node("Identity", [made.name], [name]) for made, name in pairs)]


def _measure(op: Op, stock: Stock) -> np.ndarray:
    """The values of Shape and Size, which are known where no Filter went before."""
    shape = stock.shapes[op.blob(0, Cut, Truth, Places)]
    if op.type == "Size":
        return np.array(prod(shape), np.int64)
    return np.array(shape[slice(op.get("start", 0), op.get("end"))], np.int64)


def _kind(given: Any, where: str) -> type[str]:
    """What an input's blob stands for, by ONNX's number of its element type."""
    elem = given.type.tensor_type.elem_type
    if elem in (0, 1, 10, 11, 16):  # not said; the floats
        return str
    if elem in (2, 3, 4, 5, 6, 7, 9, 12, 13):  # whole numbers and booleans
        return Whole
    raise UnsupportedError(f"{where}: input '{given.name}' is of type {elem}, which no blob holds")


def finish(stock: Stock, outputs: Mapping[str, str]) -> dict[str, str]:
    """Call the outputs' blobs as the foreign net calls them; the blob of each output, which an input's stays."""
    called = dict(outputs)
    inputs = {layer.name for layer in stock.net.layer if layer.type == "Input"}
    for wanted in outputs:
        blob = called[wanted]
        if wanted == blob or blob in inputs or wanted in inputs or wanted in called.values():
            continue
        if wanted in stock.shapes:  # a blob inside has the name
            stock.rename(wanted, stock.free(wanted))
        stock.rename(blob, wanted)
        called = {output: wanted if held == blob else held for output, held in called.items()}
    stock.prune(called.values())
    return called


def _shape(given: Any, shapes: Mapping[str, tuple[int, ...]], where: str) -> tuple[int, ...]:
    if given.name in shapes:
        return shapes[given.name]
    tensor = given.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    if dims and dims[0] == -1:
        dims[0] = 1
    if not tensor.HasField("shape") or min(dims, default=0) < 0:
        raise ConvertError(f"{where}: input '{given.name}' has open sizes; give them: --input {given.name}:1,3,224,224")
    return tuple(dims)


def _constant(node: Any, values: Arrays, versions: Mapping[str, int], room: int, where: str) -> Arrays:
    """The outputs of a node that only reads constants: at most `room` bytes."""
    try:
        results = evaluate(node, [values[n] if n else None for n in node.input], versions, room)
    except Exception as e:  # the reference has no common error
        raise UnsupportedError(f"{where}: constant '{node.name}' ({node.op_type}) cannot be computed: {e}") from e
    return dict(zip([n for n in node.output if n], results, strict=True))


def _prove(model: Model, path: Path, blobs: Mapping[str, str], whole: Sequence[str]) -> None:
    """The net against onnxruntime on the file itself, output by output. `whole`: inputs of whole numbers."""
    from converters.inputs import random_inputs
    from converters.onnx_check import run_onnx, run_ours

    net = model.runtime()
    inputs = random_inputs(net)
    inputs |= {name: np.abs(np.trunc(inputs[name])) for name in whole}
    values = run_ours(net, inputs)
    try:
        theirs = run_onnx(path, inputs)
    except Exception as e:  # onnxruntime's errors have no common base
        raise ConvertError(f"{path}: onnxruntime does not run it, so nothing proves the Caffe net: {e}") from e
    for name, array in theirs.items():
        if name in blobs:
            apart = difference(array, values[net.graph.last[blobs[name]].id])
            if not apart.relative <= TOLERANCE:
                raise ConvertError(f"{path}: the Caffe net's '{name}' is not onnxruntime's: {apart}")
    model.notes.append(f"the Caffe net agrees with onnxruntime on the ONNX file to {TOLERANCE:g}")
