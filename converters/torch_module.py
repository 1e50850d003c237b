"""PyTorch -> Caffe: a live `nn.Module`, traced by torch.fx or torch.export, as layers that stock BVLC Caffe loads.

The module is traced and run once on example inputs, and every call becomes an operation in ONNX's words
(torch_calls.py), which from_onnx_ops.py writes as layers; so there is one place for what stock layers can do. Layers
are called as the modules are. The net is compared with the module before it is handed out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from caffe_port.errors import CaffeError, ConvertError, UnsupportedError
from converters.compare import TOLERANCE, difference
from converters.from_onnx import finish
from converters.from_onnx_op import Op
from converters.from_onnx_ops import write
from converters.model import Model
from converters.stock import Inexact, Stock
from converters.torch_calls import ATEN, FUNCTIONS, INPLACE, MODULES, Call

ELEMENTS = 2**27
"""Most numbers of an example input: 512 MiB."""


def from_module(module: nn.Module, inputs: Mapping[str, Sequence[int]], name: str = "") -> Model:
    """`inputs`: shapes by the names of `forward`'s arguments. The module runs in eval mode and is left as it was.

    Raises UnsupportedError with everything that has no exact form, and ConvertError where tracing or the comparison
    with the module itself fails.
    """
    if any(np.prod(shape) > ELEMENTS for shape in inputs.values()):
        raise ConvertError(f"inputs {dict(inputs)} are too large for an example")
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            return _convert(module, {k: tuple(v) for k, v in inputs.items()}, name or type(module).__name__)
    finally:
        module.train(training)


def _convert(module: nn.Module, shapes: dict[str, tuple[int, ...]], name: str) -> Model:
    traced = _traced(module, shapes, name)
    arguments = [str(node.target) for node in traced.graph.nodes if node.op == "placeholder"]
    _shapes_wanted(arguments, shapes, name)
    generator = torch.Generator().manual_seed(0)
    examples = [torch.randn(shapes[a], generator=generator) for a in arguments]
    walker = _Walker(traced, name, shapes)
    result = walker.run(*examples)
    if walker.refused:
        raise UnsupportedError(f"{name} has no exact form in stock Caffe layers:\n  " + "\n  ".join(walker.refused))
    outputs = finish(walker.stock, {blob: walker.blobs[id(value)] for blob, value in _named(result).items()})
    model = walker.stock.model()
    expected = module(*[e.clone() for e in examples])
    _prove(model, dict(zip(arguments, examples, strict=True)), _named(expected), outputs)
    return model


def _traced(module: nn.Module, shapes: Mapping[str, Sequence[int]], name: str) -> fx.GraphModule:
    """By torch.fx, which keeps the modules; else, where forward looks at shapes, by torch.export at these shapes."""
    try:
        return fx.symbolic_trace(module)
    except Exception as e:  # fx raises what the traced code does with its proxies
        by_fx = e
    arguments = [a.name for a in inspect.signature(module.forward).parameters.values() if a.default is a.empty]
    _shapes_wanted(arguments, shapes, name)
    examples = tuple(torch.zeros(*shapes[a]) for a in arguments)
    try:
        return torch.export.export(module, examples, strict=False).module()
    except Exception as e:  # and so does export
        raise UnsupportedError(
            f"{name}: neither torch.fx ({by_fx}) nor torch.export ({e}) can trace it; its forward depends on values"
        ) from e


def _shapes_wanted(arguments: Sequence[str], shapes: Mapping[str, Sequence[int]], name: str) -> None:
    if missing := [a for a in arguments if a not in shapes]:
        raise ConvertError(f"{name}: give the shapes of its inputs {', '.join(missing)}: input={{name: shape}}")


class _Walker(fx.Interpreter):
    """Runs the traced module and writes layers as it goes. `blobs`: the blob of a tensor, by its identity."""

    def __init__(self, traced: fx.GraphModule, name: str, shapes: Mapping[str, Sequence[int]]) -> None:
        super().__init__(traced)
        self.stock = Stock(name)
        self.blobs: dict[int, str] = {}
        self.refused: list[str] = []
        self._shapes = shapes
        self._alive: list[Any] = []
        self._lost: set[int] = set()

    def run_node(self, node: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        inside = [a for a in _tensors([args, kwargs]) if id(a) in self.blobs]
        lost = any(id(a) in self._lost for a in _tensors([args, kwargs]))
        # In-place functions would change what earlier names mean: they run on copies, and the names move on.
        inplace = self._in_place(node)
        result = super().run_node(node) if not inplace else self._on_copies(node)
        self._alive.append(result)  # identities stay valid
        if node.op == "placeholder":
            self.blobs[id(result)] = self.stock.input(str(node.target), tuple(self._shapes[str(node.target)]))
        elif lost:
            self._lost.update(id(t) for t in _tensors(result))
        elif node.op.startswith("call") and inside and any(id(t) not in self.blobs for t in _tensors(result)):
            self._write(node, args, kwargs, result)
            if inplace and id(result) in self.blobs:
                self.blobs[id(args[0])] = self.blobs[id(result)]
        return result

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.module.get_submodule(str(node.target)), "inplace", False))
        known = node.op == "call_method" and str(node.target).endswith("_") or node.target in INPLACE
        known = known or (_aten_name(node.target) or "").endswith("_")
        return known or bool(node.kwargs.get("inplace"))

    def _on_copies(self, node: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        return getattr(self, node.op)(node.target, (args[0].clone(), *args[1:]), kwargs)

    def _write(self, node: fx.Node, args: Any, kwargs: Any, result: Any) -> None:
        title = f"'{node.target if node.op == 'call_module' else node.name}'"
        try:
            if node.op == "call_module":
                module = self.module.get_submodule(str(node.target))
                title += f" ({type(module).__name__})"
                if type(module) not in MODULES:
                    raise Inexact("no stock layer computes this module")
                call = MODULES[type(module)](module, *args, **kwargs)
                name = str(node.target)
            else:
                call = self._function(node)(*args, **kwargs)
                name = _module_of(node) or node.name
            type_, inputs, attributes = call
            outputs = attributes.pop("_outputs", 1)
            tops = write(Op(type_, name, [self._operand(i) for i in inputs], attributes, outputs), self.stock)
        except (Inexact, CaffeError, TypeError) as e:
            self.refused.append(f"{title}: {e}")
            self._lost.update(id(t) for t in _tensors(result))
            return
        for value, top in zip(_tensors(result), tops, strict=True):
            if tuple(value.shape) != self.stock.shapes[top]:
                raise ConvertError(f"{title}: its layers give {self.stock.shapes[top]}, the module {value.shape}")
            self.blobs[id(value)] = top

    def _function(self, node: fx.Node) -> Callable[..., Call]:
        aten = _aten_name(node.target)
        plain = str(node.target) if node.op == "call_method" else aten
        key: Any = plain.rstrip("_") if plain else node.target
        found = ATEN.get(key) if aten else None
        if found is None and key not in FUNCTIONS:
            raise Inexact("no stock layer computes this function")
        return found or FUNCTIONS[key]

    def _operand(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.blobs[id(value)] if id(value) in self.blobs else value.detach().cpu().numpy()
        return value if value is None else np.asarray(value)


def _aten_name(target: Any) -> str | None:
    """`relu_` of torch.ops.aten.relu_.default; None for what is no operator."""
    return target.overloadpacket.__name__ if isinstance(target, torch._ops.OpOverload) else None


def _module_of(node: fx.Node) -> str:
    """The path of the module that an exported node stands in, where export says so."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]).removeprefix("L['self'].") if stack else ""


def _tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from _tensors(v)
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _tensors(v)


def _named(result: Any) -> dict[str, Tensor]:
    """A module's result as outputs by name: a dict as it is, a tensor as `output`, several as `output_0` ..."""
    if isinstance(result, dict):
        return {str(k): v for k, v in result.items()}
    if isinstance(result, Tensor):
        return {"output": result}
    return {f"output_{i}": v for i, v in enumerate(result)}


def _prove(model: Model, inputs: dict[str, Tensor], wanted: dict[str, Tensor], blobs: dict[str, str]) -> None:
    net = model.runtime()
    with torch.no_grad():
        made = net.run(inputs, keep=True).values
    for name, value in wanted.items():
        apart = difference(value.numpy(), made[net.graph.last[blobs[name]].id].numpy())
        if not apart.relative <= TOLERANCE:
            raise ConvertError(f"the Caffe net's '{name}' is not the module's: {apart}; nothing was converted")
    model.notes.append(f"the Caffe net agrees with the PyTorch module at {len(wanted)} output(s) to {TOLERANCE:g}")
