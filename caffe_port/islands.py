"""The island driver: every layer its own small autograd graph between persistent blobs.

It is what Caffe's own semantics need and one autograd graph over the whole net cannot give: a diff of any blob,
backward from the middle, values changed by hand between layers, callbacks, a clock on each layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caffe_port.errors import NetError
from caffe_port.graph import Node
from caffe_port.layers.base import guarded
from caffe_port.net import Net

Callback = Callable[[int], None]


@dataclass
class Island:
    """What one forward of one layer leaves for its backward: the leaves it read, the tops it made."""

    bottoms: list[Tensor]
    tops: list[Tensor]


class Islands:
    """Runs `net` over `net.blobs`. Keeps one Island a layer until its next forward.

    Diffs of parameters add up over backward passes, as in Caffe, until `clear_param_diffs`; diffs of blobs are written
    anew.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.islands: dict[int, Island] = {}
        # The bottoms' shapes that a layer's rule has let pass: a program may reshape any blob between two forwards.
        self.checked = {n.index: [b.shape for b in n.bottoms] for n in net.graph.nodes}
        self.before_forward: list[Callback] = []
        self.after_forward: list[Callback] = []
        self.before_backward: list[Callback] = []
        self.after_backward: list[Callback] = []
        for node in net.graph.nodes:
            once = [i for i in range(len(node.tops)) if not node.layer.rewrites(i)]
            tops = node.layer() if once else ()
            for i in once:
                net.blobs[node.tops[i].name].data.copy_(tops[i])

    def forward(self, start: int = 0, end: int | None = None) -> float:
        """Layers start..end, both included; the weighted loss of those layers' tops."""
        nodes = self._range(start, end)
        loss = 0.0
        for node in nodes:
            for call in self.before_forward:
                call(node.index)
            loss += self._forward(node)
            for call in self.after_forward:
                call(node.index)
        return loss

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Layers start down to end, both included. Top diffs are the blobs', where losses hold their weight.

        A layer that has not run forward yet does so first, over its bottoms as they are.
        """
        for node in reversed(self._range(end, start)):
            for call in self.before_backward:
                call(node.index)
            if node.needs_backward and node.layer.role != "input":
                self._backward(node)
            for call in self.after_backward:
                call(node.index)

    def clear_param_diffs(self) -> None:
        diffs = [learnable.diff for learnable in self.net.learnable]
        if diffs:
            torch._foreach_zero_(diffs)

    def _range(self, start: int, end: int | None) -> list[Node]:
        nodes = self.net.graph.nodes
        last = len(nodes) - 1 if end is None else end
        if not (0 <= start and last < len(nodes)):
            raise NetError(f"layers {start} to {last} are not in this net of {len(nodes)} layers")
        return nodes[start : last + 1]

    def _forward(self, node: Node) -> float:
        blobs = self.net.blobs
        if node.layer.role == "input":
            return 0.0
        shapes = [blobs[b.name].shape for b in node.bottoms]
        if shapes != self.checked.get(node.index):
            guarded(node.layer, node.layer.top_shapes, shapes)
            self.checked[node.index] = shapes
        # An in-place layer overwrites the storage that it reads: it gets a copy to keep. Others read the blob itself.
        leaves = [blobs[b.name].data.detach() for b in node.bottoms]
        if node.in_place:
            leaves = [leaf.clone() for leaf in leaves]
        for leaf, wanted in zip(leaves, node.propagate_down, strict=True):
            leaf.requires_grad_(wanted and node.needs_backward)
        with torch.set_grad_enabled(node.needs_backward):
            tops = guarded(node.layer, node.layer, *leaves)
        made = [tops] if isinstance(tops, Tensor) else list(tops)
        self.islands[node.index] = Island(leaves, made)
        loss = 0.0
        for i, (value, top, weight) in enumerate(zip(node.tops, made, node.loss_weights, strict=True)):
            if not node.layer.rewrites(i):
                continue
            blob = blobs[value.name]
            value.shape = tuple(top.shape)
            blob.reshape(value.shape)
            # Through .data: the write must not count as a change to leaves that share this storage.
            blob.data.data.copy_(top.detach())
            if weight:
                blob.diff.fill_(weight)
                loss += weight * float(top.detach().sum())
        return loss

    def _backward(self, node: Node) -> None:
        island = self.islands.get(node.index)
        if island is None:
            self._forward(node)
            island = self.islands[node.index]
        blobs = self.net.blobs
        outputs, seeds = [], []
        for value, top in zip(node.tops, island.tops, strict=True):
            if top.requires_grad:
                outputs.append(top)
                seeds.append(blobs[value.name].diff.to(top.dtype).reshape(top.shape).clone())
        wanted = [(b.name, leaf) for b, leaf in zip(node.bottoms, island.bottoms, strict=True) if leaf.requires_grad]
        learned = [
            name for name, p in zip(node.layer.present_blobs, node.layer.blobs, strict=True) if p.requires_grad
        ]
        owned = [self._owner(node, name) for name in learned]
        inputs = [leaf for _, leaf in wanted] + owned
        if not outputs or not inputs:
            return
        grads = torch.autograd.grad(outputs, inputs, seeds, retain_graph=True, allow_unused=True)
        for (name, _), grad in zip(wanted, grads[: len(wanted)], strict=True):
            diff = blobs[name].diff
            # In place the blob has the top's shape, which may be another than the bottom's (MVN's four axes).
            diff.copy_(torch.zeros_like(diff) if grad is None else grad.reshape(diff.shape))
        replaced = node.layer.replaced_diffs([tuple(leaf.shape) for leaf in island.bottoms])
        for name, parameter, grad in zip(learned, owned, grads[len(wanted) :], strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            elif name in replaced:
                parameter.grad.zero_()
            if grad is not None:
                parameter.grad.add_(grad)

    @staticmethod
    def _owner(node: Node, blob: str) -> nn.Parameter:
        layer = node.layer
        while blob in layer.shared:
            layer, blob, _ = layer.shared[blob]
        return getattr(layer, blob)
