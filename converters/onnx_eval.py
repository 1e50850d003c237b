"""One ONNX operation on constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from caffe_port.errors import ConvertError
from converters.optional import has, need

READ = 1024
"""Most numbers of an input that may be a shape or a count, so that the sizes of the outputs follow from its values."""
LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
FEWER = frozenset({"Compress", "NonZero", "Unique"})
"""How many values come out depends on the values; never more than a few for each that goes in."""


def evaluate(
    node: Any, inputs: Sequence[np.ndarray | None], domains: Mapping[str, int], most: int | None = None
) -> list[np.ndarray]:
    """The outputs of a NodeProto, as ONNX's reference computes them. Raises whatever that raises.

    `most`: bytes that the outputs may have; beyond, ConvertError before any is made.
    """
    if most is not None:
        _check_size(node, inputs, domains, most)
    reference = need("onnx.reference", "onnx")
    run = reference.ReferenceEvaluator(_alone(node, inputs, domains, elem=False))
    return [np.asarray(r) for r in run.run(None, _named(node, inputs))]


def evaluate_as_run(node: Any, inputs: Sequence[np.ndarray | None], domains: Mapping[str, int]) -> list[np.ndarray]:
    """As onnxruntime computes them, if it is here: where the reference rounds places otherwise (Resize)."""
    if not has("onnxruntime"):
        return evaluate(node, inputs, domains)
    runtime = need("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    model = _alone(node, inputs, domains, elem=True).SerializeToString()
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(r) for r in session.run(None, _named(node, inputs))]


def _check_size(node: Any, inputs: Sequence[np.ndarray | None], domains: Mapping[str, int], most: int) -> None:
    """By ONNX's shape inference, which reads the values of shapes and counts."""
    if node.op_type in LOOPS:
        raise ConvertError("how often a loop runs is not known beforehand")
    if node.op_type in FEWER:
        return
    helper, numpy_helper = need("onnx.helper", "onnx"), need("onnx.numpy_helper", "onnx")
    model = _alone(node, inputs, domains, elem=True)
    small = {name: array for name, array in _named(node, inputs).items() if array.size <= READ}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in small.items())
    claimed = 0
    for output in need("onnx.shape_inference", "onnx").infer_shapes(model, data_prop=True).graph.output:
        tensor = output.type.tensor_type
        if not tensor.HasField("shape") or not all(d.HasField("dim_value") for d in tensor.shape.dim):
            raise ConvertError("how large its result is, ONNX's shape inference does not know")
        width = helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
        claimed += width * prod(d.dim_value for d in tensor.shape.dim)
    if claimed > most:
        raise ConvertError(f"its result has {claimed} bytes, and {most} are left for what constants become")


def _named(node: Any, inputs: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    return {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}


def _alone(node: Any, inputs: Sequence[np.ndarray | None], domains: Mapping[str, int], elem: bool) -> Any:
    """A model of the one node. `elem`: say the inputs' types, which onnxruntime wants to know."""
    helper = need("onnx.helper", "onnx")
    given = _named(node, inputs)
    if elem:
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in given.items()
        ]
    else:
        infos = [helper.make_empty_tensor_value_info(name) for name in given]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    graph = helper.make_graph([node], "alone", infos, outputs)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
