"""onnxruntime against our runtime, on the same random inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe_port.layers.base import Shape
from caffe_port.net import Net
from converters.compare import TOLERANCE, difference
from converters.inputs import random_inputs
from converters.optional import need

TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(double)": np.float64}
"""What onnxruntime calls the types of inputs other than float."""


def run_onnx(model: Any, inputs: Mapping[str, np.ndarray], frugal: bool = False) -> dict[str, np.ndarray]:
    """Every output by name; inputs may be of any type.

    `model`: a path, or an `onnx_model.Exported`. `frugal`: no second copy of the weights.
    """
    runtime = need("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if frugal:
        options.add_session_config_entry("session.disable_prepacking", "1")
    source = str(model) if isinstance(model, str | Path) else model.to_bytes()
    session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    types: dict[str, Any] = {i.name: TYPES.get(i.type, np.float32) for i in session.get_inputs()}
    given = {name: inputs[name].astype(dtype, copy=False) for name, dtype in types.items()}
    return dict(zip(names, session.run(names, given), strict=True))


def run_ours(net: Net, inputs: Mapping[str, np.ndarray], keep: Collection[str] | bool = True) -> dict[str, np.ndarray]:
    """Values of the net by id: every one, or those of `keep`."""
    with torch.no_grad():
        values = net.run({name: torch.from_numpy(array) for name, array in inputs.items()}, keep=keep).values
    return {id: value.detach().cpu().numpy() for id, value in values.items()}


def disagreement(net: Net, path: Path, shapes: Mapping[str, Shape] | None = None, frugal: bool = False) -> str | None:
    """The first of the file's outputs, in the net's order, that onnxruntime computes differently: a clause, or None.

    `shapes`: of the inputs, where they are not the net's own. One engine runs after the other, and only what is
    compared is kept, so that memory holds the weights once.
    """
    from converters.onnx_model import value_names

    need("onnxruntime", "onnxruntime")
    names = value_names(net)
    inputs = random_inputs(net, shapes=shapes)
    try:
        theirs: dict[str, Any] = run_onnx(path, inputs, frugal)
    except Exception as e:  # onnxruntime's errors have no common base
        return f"onnxruntime does not run it: {e}"
    ours = run_ours(net, inputs, {id for id, name in names.items() if name in theirs})
    for node in net.graph.nodes:
        for top in node.tops:
            if names[top.id] in theirs and top.id in ours:
                apart = difference(ours[top.id], theirs[names[top.id]])
                if not apart.relative <= TOLERANCE:
                    return f"{node.layer.title} makes '{top.id}' differently: {apart}"
    return None
