"""One ONNX operation on constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converters.optional import has, need


def evaluate(node: Any, inputs: Sequence[np.ndarray | None], domains: Mapping[str, int]) -> list[np.ndarray]:
    """The outputs of a NodeProto, as ONNX's reference computes them. Raises whatever that raises."""
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
