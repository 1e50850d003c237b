"""What the functional driver runs: the graph's nodes as steps, some of them joined where joining changes no more than
rounding.

    BatchNorm then Scale            one normalisation with slope and bias: one pass over the data instead of three
    a sum of two blobs              is added into one of them, where nothing needs that one's value any more
    an in-place ReLU                overwrites its bottom, where nothing needs that bottom's value any more

A joined value has no tensor of its own; asked to keep values, the driver runs the nodes one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from caffe_port.graph import Node
from caffe_port.layers.base import guarded
from caffe_port.layers.batch_norm import BatchNorm
from caffe_port.layers.eltwise import Eltwise
from caffe_port.layers.relu import ReLU
from caffe_port.layers.scale import Scale


@dataclass
class Step:
    """One or more nodes run as one: reads the first's bottoms, makes the last's tops.

    `run` is a layer, or a partial over layers: unlike a closure's, its layers are copied when a net is.
    """

    first: Node
    last: Node
    run: Callable[..., Any]

    def guarded(self, *bottoms: Tensor) -> Any:
        """`run`; what torch raises in it names the layer."""
        return guarded(self.first.layer, self.run, *bottoms)

    def __post_init__(self) -> None:
        """What the driver asks at every pass, looked up once."""
        self.role = self.first.layer.role
        self.reads = [value.name for value in self.first.bottoms]
        self.writes = [value.name for value in self.last.tops]
        weights = zip(self.last.loss_weights, self.last.seeds, strict=True)
        self.losses = [(i, weight, seeds) for i, (weight, seeds) in enumerate(weights) if weight]
        self.detached = [i for i, wanted in enumerate(self.first.propagate_down) if not wanted]


def single_steps(nodes: Sequence[Node]) -> list[Step]:
    return [Step(node, node, node.layer) for node in nodes]


def fused_steps(nodes: Sequence[Node]) -> list[Step]:
    """The nodes in order, joined where they can be."""
    steps: list[Step] = []
    for node in nodes:
        before = steps[-1] if steps else None
        if before is not None and feeds(before.last, node):
            if is_normalise_then_scale(before, node):
                steps[-1] = Step(before.first, node, partial(_normalise_and_scale, before.last.layer, node.layer))
                continue
            if is_free_relu(before.last, node):
                steps[-1] = Step(before.first, node, partial(_then_relu, before.run))
                continue
        free = free_summand(node, steps)
        steps.append(Step(node, node, node.layer if free is None else partial(_sum_into, free)))
    return steps


def free_summand(node: Node, steps: Sequence[Step]) -> int | None:
    """Which of the two bottoms of a plain sum may be overwritten by it; None for neither, or for another layer."""
    layer = node.layer
    if not isinstance(layer, Eltwise) or not layer.top_is_free or layer.coeff != [1.0, 1.0]:
        return None
    for i, bottom in enumerate(node.bottoms):
        maker = next((step.last for step in reversed(steps) if step.last.tops == [bottom]), None)
        if maker is not None and maker.layer.top_is_free and not any(maker.loss_weights):
            return i
    return None


def feeds(before: Node, node: Node) -> bool:
    """Whether `node` reads the one top of the node before it, and nothing about gradients or losses comes between."""
    plain = not node.param.propagate_down and not any(before.loss_weights)
    return (
        plain and len(before.tops) == 1 and node.bottoms == before.tops and node.needs_backward == before.needs_backward
    )


def is_normalise_then_scale(before: Step, node: Node) -> bool:
    if (
        before.first is not before.last
        or not isinstance(before.last.layer, BatchNorm)
        or not isinstance(node.layer, Scale)
    ):
        return False
    return node.layer.scale.dim() == 1 and node.param.scale_param.axis == 1 and len(node.bottoms[0].shape) > 1


def is_free_relu(before: Node, node: Node) -> bool:
    return (
        isinstance(node.layer, ReLU)
        and node.in_place
        and node.param.relu_param.negative_slope == 0
        and not node.param.relu_param.relu6
        and (before.layer.top_is_free)
    )


def _normalise_and_scale(norm: Any, scale: Any, bottom: Tensor) -> Tensor:
    return norm.normalise(bottom, scale.scale, scale.bias if scale.param.scale_param.bias_term else None)


def _sum_into(i: int, *bottoms: Tensor) -> Tensor:
    return bottoms[i].add_(bottoms[1 - i])


def _then_relu(run: Callable[..., Tensor], *bottoms: Tensor) -> Tensor:
    return torch.relu_(run(*bottoms))
