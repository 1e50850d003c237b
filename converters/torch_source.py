"""`.py`: the net as one readable PyTorch module that needs nothing of ours, with its weights beside it as a `.pt`.

`load()` of the written file gives the module ready for use; its forward takes the inputs by name and returns the
outputs in a dict by blob name. Layers with blobs become torch's own modules where torch has one that does the same
(torch_modules.py); the rest is written operator by operator from the layers' ONNX forms (torch_ops.py). In-place
versions of a blob are one variable, assigned again. Every output is compared with our runtime before the file counts
as written.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from caffe_port.errors import ConvertError, UnsupportedError
from caffe_port.graph import Node
from caffe_port.net import Net
from converters import torch_helpers
from converters.compare import TOLERANCE, difference
from converters.inputs import random_inputs
from converters.model import Model, as_tensor
from converters.onnx_check import run_ours
from converters.onnx_graph import GraphBuilder
from converters.onnx_model import is_automatic_split, value_names
from converters.torch_modules import MODULES
from converters.torch_node import Node as Op
from converters.torch_node import Unwritable, is_literal, number
from converters.torch_ops import expression

EXTENSIONS = (".py",)
_taken = frozenset(dir(nn.Module())) | set(keyword.kwlist) | set(keyword.softkwlist)
_taken |= {"self", "torch", "nn", "F", "Tensor", "Path", "load", "float", "tuple", "dict", "None", "Net", "Scale"}

TEMPLATE = '''"""The network {title} in plain PyTorch, written by caffe_port from Caffe's definition and weights.

    net = load()          # weights from {weights} beside this file
    outputs = net({call})

Inputs: {inputs}. Outputs, by name: {outputs}.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

{helpers}
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
{init}

    def forward(self, {arguments}) -> dict[str, Tensor]:
{forward}
        return {{{results}}}


def load(weights: str | Path = Path(__file__).with_suffix(".pt")) -> Net:
    """The network with its weights, ready for use."""
    net = Net()
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return net.eval()
'''


def write(model: Model, path: Path) -> None:
    text, state = source(model.borrowed(), path.with_suffix(".pt").name)
    path.write_text(text, encoding="utf-8")
    torch.save({key: as_tensor(array) for key, array in state.items()}, path.with_suffix(".pt"))


def check(model: Model, path: Path, written: None) -> str:
    """Run what was written, in a namespace of its own, against our runtime."""
    net = model.borrowed()
    inputs = random_inputs(net)
    ours, theirs = run_ours(net, inputs), run_source(path, inputs, net)
    for name, array in theirs.items():
        apart = difference(ours[net.graph.last[name].id], array)
        if not apart.relative <= TOLERANCE:
            raise ConvertError(f"{path.name}: output '{name}' is not our runtime's: {apart}; nothing was written")
    return f"the written module agrees with our runtime at {len(theirs)} output(s) to {TOLERANCE:g}"


def run_source(path: Path, inputs: Mapping[str, np.ndarray], net: Net) -> dict[str, np.ndarray]:
    """The outputs of the module in a file that `write` wrote for `net`."""
    space: dict[str, Any] = {"__file__": str(path), "__name__": "written"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    with torch.no_grad():
        outputs = space["load"]()(*[torch.from_numpy(inputs[name]) for name in net.inputs])
    return {name: tensor.detach().numpy() for name, tensor in outputs.items()}


def source(net: Net, weights: str, expose: bool = False) -> tuple[str, dict[str, np.ndarray]]:
    """The text of the module and its state dict. `expose`: the last version of every blob is an output."""
    writer = _Writer(net)
    for node in net.graph.nodes:
        writer.node(node)
    made = [name for name in (net.graph.last if expose else net.outputs) if net.graph.last[name].id in writer.made]
    if not made:
        raise ConvertError(f"net '{net.name}' has no layer that makes an output; there is nothing to convert")
    inputs = [writer.variable(name) for name in net.inputs]
    shapes = ", ".join(f"{_plain(name)} {net.graph.values[name].shape}" for name in net.inputs)
    text = TEMPLATE.format(
        title=_plain(net.name), weights=_plain(weights), call=", ".join(f"{i}={i}" for i in inputs),
        inputs=shapes, outputs=", ".join(map(_plain, made)),
        helpers="".join(f"{helper}\n" for helper in writer.helpers), init="\n".join(writer.init) or "        pass",
        arguments=", ".join(f"{i}: Tensor" for i in inputs), forward="\n".join(writer.forward),
        results=", ".join(f"{name!r}: {writer.variable(name)}" for name in made),
    )  # fmt: skip
    return text, writer.state


def _text_of(function: Callable[..., Any]) -> str:
    """A function of torch_helpers as it stands there, with the blank lines around it."""
    return f"\n{inspect.getsource(function)}"


def _plain(text: str) -> str:
    """Text from a definition, made harmless inside a docstring."""
    return re.sub(r"[^\w .,:/@+()\-]", "_", text)


class _Writer:
    """Collects the lines of `__init__` and `forward`, and the state dict, node by node."""

    def __init__(self, net: Net) -> None:
        self.net, self.names = net, value_names(net)
        self.init: list[str] = []
        self.forward: list[str] = []
        self.state: dict[str, np.ndarray] = {}
        self.helpers: dict[str, None] = {}
        self.made: set[str] = set()
        self._identifiers: dict[str, str] = {}
        self._builder = GraphBuilder({self.names[id]: v.shape for id, v in net.graph.values.items()})
        self._variables = {
            self.names[id]: v.name for id, v in net.graph.values.items() if self.names[id].startswith(v.name)
        }

    def node(self, node: Node) -> None:
        if node.layer.role == "input" or is_automatic_split(self.net, node):
            return
        self.made.update(top.id for top in node.tops)
        if not self._module(node):
            self._operators(node)

    def _module(self, node: Node) -> bool:
        make = MODULES.get(node.param.type)
        module = make(node.layer, [b.shape for b in node.bottoms]) if make and not node.layer.shared else None
        if module is None:
            return False
        name = self.identifier("layer", node.name)
        self.init.append(f"        self.{name} = {module.make}")
        self.state.update({f"{name}.{key}": array for key, array in module.state.items()})
        if module.helper:
            self.helpers[module.helper] = None
        bottom, top = (self.variable(self._variables[self.names[v[0].id]]) for v in (node.bottoms, node.tops))
        self.forward.append(f"        {top} = self.{name}({module.call.format(bottom)})")
        return True

    def _operators(self, node: Node) -> None:
        builder, first = self._builder, len(self._builder.nodes)
        builder.write(node.layer, [self.names[b.id] for b in node.bottoms], [self.names[t.id] for t in node.tops])
        self._lines(node, builder.nodes[first:], "        ")

    def _lines(self, node: Node, protos: Sequence[Any], indent: str) -> None:
        """One line of `forward` a node; of a Loop, those of a Python loop."""
        types = cache(lambda: self._builder.types(protos))
        shapes = {self.names[t.id]: t.shape for t in node.tops}
        for proto in protos:
            if proto.op_type == "Loop":
                self._loop(node, proto, indent)
                continue
            op = Op(proto, self._operand, self._builder.initializers, types, shapes.get(proto.output[0]))
            try:
                line = expression(op)
            except Unwritable as e:
                raise UnsupportedError(f"{node.layer.title}: has no plain PyTorch form here: {e}") from None
            for helper in op.helpers:
                used = [*torch_helpers.USES.get(helper, []), helper]
                self.helpers.update(dict.fromkeys(_text_of(function) for function in used))
            targets = ", ".join(self._target(name) for name in proto.output)
            if line != targets:
                self.forward.append(f"{indent}{targets} = {line}")

    def _loop(self, node: Node, proto: Any, indent: str) -> None:
        """A Loop as GraphBuilder.loop makes it: it begins, has one state, and gives something in every round."""
        (body,) = (attribute.g for attribute in proto.attribute)
        goes_on, state, *given = (self._target(value.name) for value in body.output)
        before, last = self._target(body.input[2].name), self._target(proto.output[0])
        rounds = self._target(body.input[0].name)
        self.forward += [
            f"{indent}{before}, {rounds} = {self._operand(proto.input[2])}, []",
            f"{indent}for _ in range({self._operand(proto.input[0])}):",
        ]
        self._lines(node, body.node, f"{indent}    ")
        self.forward += [
            f"{indent}    {before} = {state}",
            f"{indent}    {rounds}.append(({', '.join(given)},))",
            f"{indent}    if not {goes_on}:",
            f"{indent}        break",
            f"{indent}{last} = {before}",
            f"{indent}{', '.join(map(self._target, proto.output[1:]))} = map(torch.stack, zip(*{rounds}))",
        ]

    def _target(self, name: str) -> str:
        return self.variable(self._variables.get(name, name))

    def _operand(self, name: str) -> str:
        """A value as an expression: a variable, a literal for a short constant, or a tensor of the module."""
        array = self._builder.initializers.get(name)
        if array is None:
            return self._target(name)
        learned = any(name == f"{layer.name}.{blob}" for layer in self.net.layers for blob in layer.present_blobs)
        if is_literal(array) and not learned:
            return number(array)
        key = self.identifier("layer", name)
        if key not in self.state:
            self.state[key] = array
            kind = "" if array.dtype == np.float32 else f", dtype=torch.{array.dtype}"
            make = f"torch.zeros({tuple(array.shape)}{kind})"
            self.init.append(
                f"        self.{key} = nn.Parameter({make})"
                if learned
                else f'        self.register_buffer("{key}", {make})'
            )
        return f"self.{key}"

    def variable(self, name: str) -> str:
        return self.identifier("blob", name)

    def identifier(self, kind: str, name: str) -> str:
        """A Python name for a layer or a blob, each their own; the same name every time."""
        key = f"{kind}:{name}"
        if key not in self._identifiers:
            stem = re.sub(r"\W", "_", name, flags=re.ASCII) or "unnamed"
            stem = f"_{stem}" if stem[0].isdigit() else stem
            taken = {v for k, v in self._identifiers.items() if k.startswith(f"{kind}:")} | _taken
            number = 2
            free = stem
            while free in taken:
                free, number = f"{stem}_{number}", number + 1
            self._identifiers[key] = free
        return self._identifiers[key]
