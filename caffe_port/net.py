"""A net that runs: the layers of a graph, driven as one function of its inputs and blobs.

This is the functional driver: one loop over the nodes, one autograd graph; training, compiling and speed use it. The
other driver, over persistent blobs with a diff each, is `islands.py`. Tests hold the two equal.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from caffe_port import fuse
from caffe_port import graph as graphs
from caffe_port import log as logs
from caffe_port.blob import Blob
from caffe_port.errors import NetError
from caffe_port.layers.base import TEST, Layer, Shape
from caffe_port.layers.statistics import Statistics
from caffe_port.mangle import mangle
from caffe_port.proto import caffe_pb2
from caffe_port.proto.binary import LayerBlobs, write_net
from caffe_port.proto.filter import filter_net
from caffe_port.proto.splits import insert_splits
from caffe_port.weights import CopySummary, copy_into, read_layers

KNOWN_SHAPES = 256
"""How many sets of input shapes a net remembers as fitting, even if every picture comes in another size."""


@dataclass
class Learnable:
    """A blob that the solver moves. Shared blobs appear once, under their owner.

    `diff` is made as zeros when first asked for, and stays the same tensor: autograd adds into it.
    """

    layer: Layer
    blob: str
    index: int
    lr_mult: float
    decay_mult: float
    name: str = ""
    lr_given: bool = False
    decay_given: bool = False
    _still: Tensor | None = None  # the diff of a buffer, which no gradient reaches

    @property
    def tensor(self) -> Tensor:
        return getattr(self.layer, self.blob)

    @property
    def diff(self) -> Tensor:
        tensor = self.tensor
        if isinstance(tensor, nn.Parameter):
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor, requires_grad=False)
            return tensor.grad
        if self._still is None or self._still.device != tensor.device or self._still.dtype != tensor.dtype:
            self._still = torch.zeros_like(tensor)
        return self._still


@dataclass
class Result:
    """One run: the weighted sum of the losses (shape ()), the outputs by blob name, the kept values by id."""

    loss: Tensor
    outputs: dict[str, Tensor]
    values: dict[str, Tensor] = field(default_factory=dict)


class Net(nn.Module):
    """The net that `param` defines for `phase`, `level` and `stages`.

    `param` is in the current format (`proto.load.read_net` upgrades). Raises NetError and LayerError. With `log`,
    Caffe's own lines are written while the net is built.
    """

    place: Tensor
    """Empty; where the net is, also for one without blobs."""

    def __init__(
        self, param: Any, phase: int = TEST, level: int = 0, stages: Sequence[str] = (), log: bool = False
    ) -> None:
        super().__init__()
        say: graphs.Say = logs.info if log else graphs.silent
        self.phase = phase
        self.state = _state(param, phase, level, stages)
        filtered = filter_net(param, phase, self.state.level, list(self.state.stage), say)
        if log:
            from caffe_port.proto import text

            shown = type(filtered)()
            shown.CopyFrom(filtered)
            shown.state.CopyFrom(self.state)
            say("net.cpp:53", f"Initializing net from parameters: \n{text.format(shown).rstrip()}")
        self.definition = filtered
        self.graph = graphs.build(insert_splits(filtered), phase, say)
        for layer in self.layers:
            layer.verbose = log
        self.modules_by_name = nn.ModuleDict({mangle(n.name, i): n.layer for i, n in enumerate(self.graph.nodes)})
        self.learnable = _learnable(self.graph)
        self.register_buffer("place", torch.empty(0, device="cpu"), persistent=False)
        for node, _, blob, _ in graphs.specs(self.graph):
            if blob not in node.layer.shared and isinstance(getattr(node.layer, blob), nn.Parameter):
                getattr(node.layer, blob).requires_grad_(bool(param.force_backward))
        for learnable in self.learnable:
            wanted = learnable.lr_mult != 0 or learnable.layer.diffs_at_any_rate
            if wanted and isinstance(learnable.tensor, nn.Parameter):
                learnable.tensor.requires_grad_(True)
        self._load_embedded(param)
        for layer in self.layers:
            layer.freeze()
        self._checked: set[tuple[tuple[str, Shape], ...]] = set()
        self.single_steps = fuse.single_steps(self.graph.nodes)
        self.fused_steps = fuse.fused_steps(self.graph.nodes)
        self.statistics = Statistics(self.layers)

    # -- what the net is ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def layers(self) -> list[Layer]:
        return [node.layer for node in self.graph.nodes]

    def layer(self, name: str) -> Layer:
        for node in self.graph.nodes:
            if node.name == name:
                return node.layer
        raise NetError(f"net '{self.name}' has no layer '{name}'")

    @property
    def inputs(self) -> list[str]:
        return self.graph.inputs

    @property
    def outputs(self) -> list[str]:
        """Blobs that no layer reads, in alphabetical order, as Caffe lists them."""
        return self.graph.outputs

    @cached_property
    def loss_weights(self) -> dict[str, float]:
        """The loss weight of each output blob; 0 for outputs that are no losses."""
        weights = {t.name: w for n in self.graph.nodes for t, w in zip(n.tops, n.loss_weights, strict=True)}
        return {name: weights[name] for name in self.outputs}

    @cached_property
    def blobs(self) -> dict[str, Blob]:
        """Storage for every blob, in order of appearance: what the island driver and pycaffe work on, and where the
        functional driver finds inputs that it is not given."""
        device = self.device
        blobs = {name: Blob.zeros(v.shape, device) for name, v in self.graph.last.items()}
        for node in self.graph.nodes:
            for top, weight in zip(node.tops, node.loss_weights, strict=True):
                if weight:
                    blobs[top.name].diff.fill_(weight)
        return blobs

    @property
    def device(self) -> torch.device:
        for learnable in self.learnable:
            return learnable.tensor.device
        return self.place.device

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What `.to`, `.cuda`, `.double` go through. On an accelerator TF32 is off: Caffe's numbers are single; and on
        a GPU data layers put batches where it fetches them by itself."""
        moved = super()._apply(fn, recurse)
        if self.device.type != "cpu":
            without_tf32()
        for layer in self.layers:
            if hasattr(layer, "pin"):
                layer.pin(self.device.type == "cuda")
        return moved

    def macs(self) -> int:
        """Multiply-adds of one forward pass at the present shapes."""
        return sum(n.layer.macs([b.shape for b in n.bottoms], [t.shape for t in n.tops]) for n in self.graph.nodes)

    def parameter_count(self) -> int:
        return sum(learnable.tensor.numel() for learnable in self.learnable)

    # -- running it --------------------------------------------------------------------------------------------------

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Outputs by blob name, from inputs by blob name; autograd works through it as through any module."""
        return self.run(inputs, prune=False).outputs

    def run(
        self, inputs: Mapping[str, Tensor] | None = None, keep: Collection[str] | bool = (), prune: bool = True
    ) -> Result:
        """One forward pass.

        `inputs`: tensors for Input layers' tops; those left out come from `blobs`. `keep`: ids of values to return
        besides the outputs, or True for all (with `conv1@1` the second version of an in-place blob). `prune`: record a
        gradient only where Caffe would propagate a diff (lr_mult 0, propagate_down, layers under no loss).
        """
        if torch.compiler.is_compiling():
            return self._run(inputs or {}, keep, prune)
        self._check_shapes(inputs or {})
        with self.statistics:
            return self._run(inputs or {}, keep, prune)

    def _run(self, inputs: Mapping[str, Tensor], keep: Collection[str] | bool, prune: bool) -> Result:
        device = self.device
        env: dict[str, Tensor] = {}
        values: dict[str, Tensor] = {}
        loss: Tensor | None = None
        prune = prune and torch.is_grad_enabled()
        compiling = torch.compiler.is_compiling()
        for step in self.single_steps if keep else self.fused_steps:
            if step.role == "input":
                tops: Any = [self._input(value, inputs, device) for value in step.last.tops]
            else:
                run = step.run if compiling else step.guarded
                bottoms = [env.pop(name) for name in step.reads]
                if prune and not step.first.needs_backward:
                    with torch.no_grad():
                        tops = run(*bottoms)
                else:
                    if prune:
                        for i in step.detached:
                            bottoms[i] = bottoms[i].detach()
                    tops = run(*bottoms)
                if isinstance(tops, Tensor):
                    tops = (tops,)
                if step.role == "data":
                    tops = [top.to(device, non_blocking=True) for top in tops]
            env.update(zip(step.writes, tops, strict=True))
            for i, weight, seeds in step.losses:
                term = weight * (tops[i] if tops[i].dim() == 0 else tops[i].sum())
                if not seeds:
                    term = term.detach()
                loss = term if loss is None else loss + term
            if keep:
                kept = zip(step.last.tops, tops, strict=True)
                values.update((v.id, top) for v, top in kept if keep is True or v.id in keep)  # type: ignore[operator]
        if loss is None:
            loss = torch.zeros((), device=device)
        return Result(loss, {name: env[name] for name in self.outputs}, values)

    def _check_shapes(self, inputs: Mapping[str, Tensor]) -> None:
        """Ask the layers' shape rules whether they take inputs of these shapes, once while these are in use."""
        shapes = {name: tuple(value.shape) for name, value in inputs.items() if name in self.graph.last}
        key = tuple(sorted(shapes.items()))
        if key not in self._checked:
            # Inputs of another rank are refused where they are read, by their names.
            if all(len(shape) == len(self.graph.last[name].shape) for name, shape in shapes.items()):
                self.graph.shapes(shapes)
            if len(self._checked) >= KNOWN_SHAPES:
                self._checked.clear()
            self._checked.add(key)

    def _input(self, value: graphs.Value, inputs: Mapping[str, Tensor], device: torch.device) -> Tensor:
        given = inputs.get(value.name)
        if given is None:
            return self.blobs[value.name].data
        if given.dim() != len(value.shape):
            raise NetError(
                f"input '{value.name}' wants {len(value.shape)} axes like {value.shape}, got {tuple(given.shape)}"
            )
        return given.to(device)

    def reshape(self, inputs: Mapping[str, Shape] | None = None) -> None:
        """Run the shape rules again: from `inputs` by name, or from the present shapes of the input blobs."""
        shapes = {name: self.blobs[name].shape for name in self.inputs}
        shapes.update({k: tuple(v) for k, v in (inputs or {}).items()})
        self.graph.infer_shapes(shapes)
        for name, value in self.graph.last.items():
            self.blobs[name].reshape(value.shape)
        self._seed_losses()

    def _seed_losses(self) -> None:
        for node in self.graph.nodes:
            for top, weight in zip(node.tops, node.loss_weights, strict=True):
                if weight:
                    self.blobs[top.name].diff.fill_(weight)

    # -- weights -----------------------------------------------------------------------------------------------------

    def copy_from(self, source: str | os.PathLike[str] | Sequence[LayerBlobs]) -> CopySummary:
        """Take the blobs of layers of the same name; see `weights.copy_into` for what fits and what is an error."""
        if isinstance(source, str | os.PathLike):
            return copy_into(self.graph, read_layers(source), str(source))
        return copy_into(self.graph, source, "the given weights")

    def share_from(self, other: Net) -> list[str]:
        """Use the other net's blobs, layer by layer of the same name (a test net beside its train net).

        Returns the other's layers that this net does not have. Source: `Net::ShareTrainedLayersWith`.
        """
        mine: dict[str, Layer] = {}
        for node in self.graph.nodes:
            mine.setdefault(node.name, node.layer)
        ignored = []
        for node in other.graph.nodes:
            layer = mine.get(node.name)
            if layer is None:
                ignored.append(node.name)
                continue
            theirs = node.layer.present_blobs
            if len(theirs) != len(layer.present_blobs):
                raise NetError(
                    f"{layer.title} has {len(layer.present_blobs)} blobs here and {len(theirs)} in the other net"
                )
            for name in theirs:
                source, target = getattr(node.layer, name), getattr(layer, name)
                if source.shape != target.shape:
                    raise NetError(
                        f"{layer.title}: blob '{name}' is {tuple(target.shape)} here, {tuple(source.shape)} there"
                    )
                if name in layer.shared or name in node.layer.shared:
                    continue
                table = layer._parameters if name in layer._parameters else layer._buffers
                table[name] = source
        return ignored

    def layer_blobs(self, diffs: bool = False, owned_only: bool = False) -> list[LayerBlobs]:
        """Every layer's blobs as arrays of this net's own memory (copies where it is on a GPU).

        `owned_only`: None for a blob that another layer owns, as HDF5 files want it.
        """
        table = {(id(learnable.layer), learnable.blob): learnable for learnable in self.learnable}
        out = []
        for node in self.graph.nodes:
            names = node.layer.present_blobs
            arrays: list[Any] = [
                None if owned_only and n in node.layer.shared else getattr(node.layer, n).detach().cpu().numpy()
                for n in names
            ]
            grads: list[Any] = [None] * len(names)
            if diffs:
                owners = [node.layer.shared.get(n, (node.layer, n, ()))[:2] for n in names]
                grads = [  # in the blob's own shape: PERMISSIVE shares by count alone
                    table[id(o), b].diff.cpu().numpy().reshape(getattr(node.layer, n).shape)
                    for (o, b), n in zip(owners, names, strict=True)
                ]
            out.append(LayerBlobs(node.name, node.param.type, arrays, grads))
        return out

    def to_proto(self) -> Any:
        """The net as Caffe writes it into a caffemodel: name and layers (splits included), without blobs."""
        out = caffe_pb2.NetParameter(name=self.name)
        for node in self.graph.nodes:
            out.layer.add().CopyFrom(node.param)
        return out

    def save(self, path: str | os.PathLike[str], diffs: bool = False) -> None:
        """Write a `.caffemodel`, whole or not at all."""
        write_net(path, self.to_proto(), self.layer_blobs(diffs))

    def _load_embedded(self, param: Any) -> None:
        """Blobs that the definition itself carries take the place of the fillers'."""
        embedded = [layer for layer in read_layers(param) if layer.blobs]
        if embedded:
            copy_into(self.graph, embedded, "the definition")


def without_tf32() -> None:
    """Products in full single precision; torch's own default lets cuDNN round them to ten bits."""
    torch.set_float32_matmul_precision("highest")  # not matmul.allow_tf32: torch 2.9 refuses a mixture of its switches
    torch.backends.cudnn.allow_tf32 = False
    if hasattr(torch.backends.cudnn, "conv"):  # from torch 2.9 on; what a program set there stays otherwise
        parts: Any = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
        for part in parts:
            part.fp32_precision = "ieee"


def _state(param: Any, phase: int, level: int, stages: Sequence[str]) -> Any:
    state = caffe_pb2.NetState()
    state.CopyFrom(param.state)
    state.phase = phase
    if level or not state.HasField("level"):
        if level:
            state.level = level
    state.stage.extend(s for s in stages if s not in state.stage)
    return state


def _learnable(graph: graphs.Graph) -> list[Learnable]:
    """The blobs that the solver moves, owners only; blobs of one `param { name }` are made to share memory here."""
    out: list[Learnable] = []
    owners: dict[str, Learnable] = {}
    for node, i, blob, spec in graphs.specs(graph):
        owner = owners.get(spec.name) if spec.name else None
        if owner is None:
            new = Learnable(
                node.layer,
                blob,
                i,
                spec.lr_mult,
                spec.decay_mult,
                spec.name,
                spec.HasField("lr_mult"),
                spec.HasField("decay_mult"),
            )
            out.append(new)
            if spec.name:
                owners[spec.name] = new
            continue
        _check_share(node.layer, i, blob, spec, owner)
        for mult, given in (("lr_mult", "lr_given"), ("decay_mult", "decay_given")):
            if not spec.HasField(mult):
                continue
            if getattr(owner, given) and getattr(owner, mult) != getattr(spec, mult):
                raise node.layer.error(
                    f"shared param '{spec.name}' has {mult} {getattr(spec, mult):g} here and "
                    f"{getattr(owner, mult):g} in layer '{owner.layer.name}'; give it in one place"
                )
            setattr(owner, mult, getattr(spec, mult))
            setattr(owner, given, True)
        node.layer.share(blob, owner.layer, owner.blob)
    return out


def _check_share(layer: Layer, i: int, blob: str, spec: Any, owner: Learnable) -> None:
    mine, theirs = tuple(getattr(layer, blob).shape), tuple(owner.tensor.shape)
    if spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE:
        if prod(mine) != prod(theirs):
            raise layer.shape_error(
                f"cannot share param '{spec.name}' owned by layer '{owner.layer.name}': "
                f"{theirs} has {prod(theirs)} values, blob {i} here {mine} has {prod(mine)}"
            )
    elif mine != theirs:
        raise layer.shape_error(
            f"cannot share param '{spec.name}' owned by layer '{owner.layer.name}': "
            f"it is {theirs}, blob {i} here is {mine}; share_mode: PERMISSIVE shares by count alone"
        )
