"""From a filtered, split NetParameter to a graph: layers in order, the values between them, their shapes, who needs a
gradient.

Caffe's blobs change under in-place layers; here each change is a new version of the value (`conv1`, then `conv1@1`), so
that a value means one tensor for ever. Splits are layers (`proto/splits.py`), so every value is read at most once.

Source: `Net::Init`, `AppendTop`, `AppendBottom` in src/caffe/net.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch

from caffe_port.blob import SHAPE_RULE, is_shape
from caffe_port.errors import NetError, UnsupportedError
from caffe_port.layers import REGISTRY, Layer
from caffe_port.layers.base import Shape, guarded
from caffe_port.proto import caffe_pb2
from caffe_port.proto.forks import fork_fields
from caffe_port.proto.splits import insert_splits

Say = Callable[[str, str], None]
"""Where Caffe's log lines go: place in Caffe's source, message."""


@dataclass(eq=False)
class Value:
    """One version of a blob. `shape` is what the shape rules say, and follows a reshape."""

    name: str
    version: int
    shape: Shape

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


@dataclass(eq=False)
class Node:
    """A layer in its place. `propagate_down[i]`: does bottom i get a diff; `needs_backward`: does anything here.

    `seeds[i]`: whether a loss weight of top i would be the diff that backward starts from; not where a reader of that
    top writes its own diff over it, into the same blob, as in Caffe. `param_propagate_down[i]`: does Caffe count blob i
    as one that gets a diff; by the definition as it was given, which has no rates of 0 for BatchNorm's statistics.
    """

    index: int
    layer: Layer
    bottoms: list[Value]
    tops: list[Value]
    loss_weights: list[float]
    propagate_down: list[bool]
    needs_backward: bool
    automatic_tops: int = 0
    seeds: list[bool] = field(default_factory=list)
    param_propagate_down: list[bool] = field(default_factory=list)

    @property
    def param(self) -> Any:
        return self.layer.param

    @property
    def name(self) -> str:
        return self.layer.param.name

    @property
    def in_place(self) -> bool:
        return any(b.name == t.name for b, t in zip(self.bottoms, self.tops, strict=False))


@dataclass
class Graph:
    """The nodes in the file's order; `values` by id; `last` the last version of each blob, in order of appearance."""

    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    last: dict[str, Value] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)

    def shapes(self, inputs: dict[str, Shape]) -> dict[Value, Shape]:
        """Every value's shape by the shape rules, from new shapes of the net's inputs (those not named keep theirs).

        Raises what the layers' rules raise.
        """
        found: dict[Value, Shape] = {}
        for node in self.nodes:
            if node.layer.role == "input":
                shapes = [tuple(inputs.get(t.name, t.shape)) for t in node.tops]
            elif node.bottoms:
                shapes = guarded(node.layer, node.layer.top_shapes, [found[b] for b in node.bottoms])
            else:
                shapes = [t.shape for t in node.tops]
            found.update((top, tuple(shape)) for top, shape in zip(node.tops, shapes, strict=True))
        return found

    def infer_shapes(self, inputs: dict[str, Shape]) -> None:
        """Give every value the shape that the rules find."""
        for value, shape in self.shapes(inputs).items():
            value.shape = shape


def layer_class(param: Any) -> type[Layer]:
    """The class for the layer's type, or an UnsupportedError that names the nearest type that there is."""
    cls = REGISTRY.get(param.type)
    if cls is None:
        known = {name.lower(): name for name in REGISTRY}
        near = [known[n] for n in difflib.get_close_matches(param.type.lower(), known, n=3, cutoff=0.7)]
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnsupportedError(f"layer '{param.name}': unknown layer type '{param.type}'{hint}")
    return cls


def silent(place: str, message: str) -> None:
    """Where lines go that nobody wants."""


def build(param: Any, phase: int, say: Say = silent) -> Graph:
    """The graph of `param` (filtered and with splits): every layer made, set up, and its top shapes known."""
    graph = Graph()
    wants: dict[str, bool] = {}  # blob -> does its producer want a diff for it (Caffe's blob_need_backward)
    unread: dict[str, None] = {}
    owners: dict[str, tuple[str, int]] = {}  # param name -> layer and number of the blob that had it first
    memory = 0
    for index, source in enumerate(param.layer):
        node = _append(graph, index, source, phase, wants, unread, say)
        say("net.cpp:124", f"Setting up {node.name}")
        for top, weight in zip(node.tops, node.loss_weights, strict=True):
            say(
                "net.cpp:131",
                f"Top shape: {' '.join(map(str, top.shape))}{' ' if top.shape else ''}({prod(top.shape)})",
            )
            if weight:
                say("net.cpp:134", f"    with loss weight {weight:g}")
            memory += 4 * prod(top.shape)
        say("net.cpp:139", f"Memory required for data: {memory}")
        _tell_shared(node, owners, say)
    _refuse_overwritten(graph)
    _prune_backward(graph, say)
    if param.force_backward:
        _force_backward(graph)
    _find_seeds(graph)
    graph.outputs = sorted(unread)
    for name in graph.outputs:
        say("net.cpp:244", f"This network produces output {name}")
    say("net.cpp:257", "Network initialization done.")
    return graph


def _append(
    graph: Graph, index: int, source: Any, phase: int, wants: dict[str, bool], unread: dict[str, None], say: Say
) -> Node:
    own = type(source)()
    own.CopyFrom(source)
    own.ClearField("blobs")
    if not own.HasField("phase"):
        own.phase = phase
    cls = layer_class(own)
    say("layer_factory.hpp:77", f"Creating layer {own.name}")
    layer = cls(own, own.phase)
    refuse_fork_options(layer)
    if own.propagate_down and len(own.propagate_down) != len(own.bottom):
        raise layer.error(
            f"propagate_down is given {len(own.propagate_down)} times for {len(own.bottom)} bottoms; "
            "give it once a bottom"
        )
    if layer.role == "data" and own.data_param.source:
        lmdb = own.data_param.backend == caffe_pb2.DataParameter.LMDB
        kind, line = ("lmdb", 35) if lmdb else ("leveldb", 18)
        say(f"db_{kind}.cpp:{line}", f"Opened {kind} {own.data_param.source}")
    say("net.cpp:86", f"Creating Layer {own.name}")

    bottoms = []
    for name in own.bottom:
        if name not in graph.last:
            raise NetError(f"{layer.title}: unknown bottom blob '{name}': no layer before it makes it")
        say("net.cpp:408", f"{own.name} <- {name}")
        unread.pop(name, None)
        bottoms.append(graph.last[name])
    propagate = [wants[b.name] for b in bottoms]
    needs = any(propagate)
    if own.propagate_down:
        propagate = list(own.propagate_down)

    names, automatic = list(own.top), 0
    least, most = cls.tops
    while cls.auto_tops and len(names) < least:
        names.append("(automatic)")
        automatic += 1
    check_count(layer, "bottom", len(bottoms), *cls.bottoms)
    check_count(layer, "top", len(names), least, most)

    tops = []
    for i, name in enumerate(names):
        automatic_top = i >= len(own.top)
        if i < len(own.bottom) and name == own.bottom[i]:
            say("net.cpp:369", f"{own.name} -> {name} (in-place)")
            tops.append(Value(name, graph.last[name].version + 1, ()))
        elif automatic_top:
            taken = [n for n in graph.last if n.startswith("(automatic)")]
            tops.append(Value("(automatic)" + f" {len(taken) + 1}" * bool(taken), 0, ()))
        elif name in graph.last or name in [t.name for t in tops]:
            maker = next((n.name for n in graph.nodes if name in [t.name for t in n.tops]), own.name)
            raise NetError(
                f"{layer.title}: top blob '{name}' is made by layer '{maker}' already; "
                "rename one of the two tops, or make the layer in-place by giving it the same bottom"
            )
        else:
            say("net.cpp:382", f"{own.name} -> {name}")
            tops.append(Value(name, 0, ()))

    guarded(layer, layer.setup, [b.shape for b in bottoms])
    learns = [_spec(layer, i).lr_mult != 0 for i in range(len(layer.present_blobs))]
    _freeze_statistics(layer)
    shapes = guarded(layer, layer.top_shapes, [b.shape for b in bottoms])
    if len(shapes) != len(tops):
        raise layer.error(f"its shape rule gives {len(shapes)} tops, the definition names {len(tops)}")
    if layer.role == "data" and own.transform_param.HasField("mean_file"):
        say("data_transformer.cpp:25", f"Loading mean file from: {own.transform_param.mean_file}")
    for place, message in layer.notes:
        say(place, message)
    for _ in range(layer.layers_inside):
        say("layer_factory.hpp:77", f"Creating layer {own.name}")
    if say is not silent:
        _tell_inside(layer, bottoms, say)
    for i, (top, shape) in enumerate(zip(tops, shapes, strict=True)):
        top.shape = tuple(int(d) for d in shape)
        if not is_shape(top.shape):
            raise layer.shape_error(f"top '{top.name}' would be {top.shape}; {SHAPE_RULE}")
        if top.version and prod(top.shape) != prod(bottoms[i].shape):
            raise layer.error(
                f"cannot work in place on '{top.name}': the top is {top.shape}, the bottom {bottoms[i].shape}, "
                "and Caffe would overwrite what it still reads; name the top differently"
            )

    needs = needs or any(learns)
    node = Node(index, layer, bottoms, tops, _loss_weights(layer, len(tops)), propagate, needs, automatic)
    node.param_propagate_down = learns
    graph.nodes.append(node)
    for i, top in enumerate(tops):
        graph.values[top.id] = top
        graph.last[top.name] = top
        wants[top.name] = needs
        if i < len(own.top):
            unread[top.name] = None
            if layer.role == "input":
                graph.inputs.append(top.name)
    return node


def _tell_inside(layer: Layer, bottoms: list[Value], say: Say) -> None:
    """What Caffe logs of a net inside a layer, whose blobs become the layer's."""
    inside = layer.net_inside([b.shape for b in bottoms])
    if inside is None:
        return
    from caffe_port.proto import text

    say("net.cpp:53", f"Initializing net from parameters: \n{text.format(inside).rstrip()}")
    with torch.device("meta"):  # no memory is needed to tell, and no random number to be drawn
        graph = build(insert_splits(inside), caffe_pb2.TEST, say)
    named: set[str] = set()
    for i, (_, _, _, spec) in enumerate(specs(graph)):
        if spec.name not in named:
            say("recurrent_layer.cpp:150", f"Adding parameter {i}: {spec.name}")
        named.add(spec.name)


def _tell_shared(node: Node, owners: dict[str, tuple[str, int]], say: Say) -> None:
    for i in range(len(node.layer.present_blobs)):
        if name := _spec(node.layer, i).name:
            owner = owners.setdefault(name, (node.name, i))
            if owner != (node.name, i):
                say("net.cpp:467", f"Sharing parameters '{name}' owned by layer '{owner[0]}', param index {owner[1]}")


def check_count(layer: Layer, kind: str, count: int, least: int, most: int | None) -> None:
    """LayerError unless there are `least` to `most` blobs of the kind ("bottom", "top"); `most` None: any number."""
    if count < least or (most is not None and count > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        raise layer.error(f"takes {wanted} {kind} blob(s), the definition gives {count}")


def refuse_fork_options(layer: Layer) -> None:
    """Options that a fork added to a message of Caffe's: the layer knows them, or they would change its result unseen.

    A whole message of a fork at layer level (`permute_param` in a ReLU) is none of this layer's, as in the forks.
    """
    unknown = [path for path in fork_fields(layer.param) if "." in path and path not in layer.fork_fields]
    if unknown:
        raise layer.unsupported(
            f"{', '.join(unknown)}: an option of a fork that this layer does not have; "
            "remove it if the net can do without"
        )


def _loss_weights(layer: Layer, tops: int) -> list[float]:
    """One weight a top. A loss layer whose weights are not given weighs 1 on its first top."""
    param = layer.param
    if not param.loss_weight:
        if layer.role != "loss" or not tops:
            return [0.0] * tops
        param.loss_weight.append(1)
        return [1.0] + [0.0] * (tops - 1)
    given = list(param.loss_weight)
    # Caffe demands a weight for each top; a single weight with an extra (probability) top can only mean the loss.
    if len(given) == 1 and layer.role == "loss":
        return given + [0.0] * (tops - 1)
    if len(given) != tops:
        raise layer.error(f"loss_weight is given {len(given)} times for {tops} tops; give it once a top, or not at all")
    return given


def _spec(layer: Layer, i: int) -> Any:
    """The ParamSpec of blob i, or one of defaults."""
    given = layer.param.param
    return given[i] if i < len(given) else caffe_pb2.ParamSpec()


def _freeze_statistics(layer: Layer) -> None:
    """BatchNorm's statistics are blobs that no solver may move: Caffe writes lr_mult 0 into its own copy."""
    specs, blobs = layer.param.param, layer.present_blobs
    if len(specs) > len(blobs):
        raise layer.error(f"{len(specs)} param entries for a layer of {len(blobs)} blobs; remove the extra ones")
    if not layer.frozen_blobs:
        return
    for spec in specs:
        if spec.lr_mult != 0:
            raise layer.error("its statistics cannot be learned: lr_mult must be 0 (or not given) in every param entry")
    while len(specs) < len(blobs):
        specs.add().lr_mult = 0


def _prune_backward(graph: Graph, say: Say) -> None:
    """Nothing needs a backward pass that no loss stands on, or that hands its diff to nobody."""
    under_loss: set[str] = set()
    skip: set[str] = set()
    for node in reversed(graph.nodes):
        contributes = any(w or t.name in under_loss for t, w in zip(node.tops, node.loss_weights, strict=True))
        skipped = all(t.name in skip for t in node.tops)
        if node.needs_backward and skipped:
            node.needs_backward = False
            node.propagate_down = [False] * len(node.bottoms)
        if not contributes:
            node.needs_backward = False
        say(
            "net.cpp:200" if node.needs_backward else "net.cpp:202",
            f"{node.name} {'needs' if node.needs_backward else 'does not need'} backward computation.",
        )
        for i, bottom in enumerate(node.bottoms):
            if contributes:
                under_loss.add(bottom.name)
            else:
                node.propagate_down[i] = False
            if not node.propagate_down[i]:
                skip.add(bottom.name)


def _force_backward(graph: Graph) -> None:
    for node in graph.nodes:
        node.needs_backward = True
        node.param_propagate_down = [True] * len(node.param_propagate_down)
        allowed = node.layer.differentiable_bottoms
        node.propagate_down = [p or allowed is None or i in allowed for i, p in enumerate(node.propagate_down)]


def _refuse_overwritten(graph: Graph) -> None:
    """Refuse to read what a layer in place has written over, in the memory that Caffe gives to several blobs.

    Reshape, Flatten and Split hand their bottom's memory on. If a layer works in place on one of their tops, whoever
    reads another of these blobs afterwards reads the changed values in Caffe (who looks at its shape only, may).
    """
    memory: dict[Value, Value] = {}  # a value -> the one whose memory it is in
    writers: dict[Value, Node] = {}  # a memory -> the last layer in place on it
    current: dict[Value, set[Value]] = {}  # a memory that was written over -> the values that are right
    for node in graph.nodes:
        for i, bottom in enumerate(node.bottoms):
            root = memory.get(bottom, bottom)
            if root in current and bottom not in current[root] and node.layer.reads_values(i):
                raise node.layer.error(
                    f"reads '{bottom.name}' after layer '{writers[root].name}' has worked in place on "
                    f"'{writers[root].tops[0].name}', which is the same memory in Caffe (Reshape, Flatten and Split do "
                    f"not copy), so that there it sees the changed values; name the top of '{writers[root].name}' "
                    "differently"
                )
        for i, top in enumerate(node.tops):
            if not top.version and not node.layer.shares_memory():
                continue
            bottom = node.bottoms[i if top.version else 0]
            root = memory[top] = memory.get(bottom, bottom)
            if top.version and node.layer.changes_values():
                writers[root], current[root] = node, {top}
            elif root in current:
                current[root].add(top)


def _find_seeds(graph: Graph) -> None:
    written: set[Value] = set()
    for node in graph.nodes:
        if node.needs_backward:
            written.update(b for b, wanted in zip(node.bottoms, node.propagate_down, strict=True) if wanted)
    for node in graph.nodes:
        node.seeds = [top not in written for top in node.tops]


def specs(graph: Graph) -> Iterator[tuple[Node, int, str, Any]]:
    """Every blob of every layer in Caffe's order: node, index, blob name, ParamSpec."""
    for node in graph.nodes:
        for i, blob in enumerate(node.layer.present_blobs):
            yield node, i, blob, _spec(node.layer, i)
