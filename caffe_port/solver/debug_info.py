"""The lines of `debug_info: true`: the mean absolute value of every blob, layer by layer, as the net runs.

Source: `Net::ForwardDebugInfo`, `BackwardDebugInfo` and the end of `Backward`, src/caffe/net.cpp. Caffe names a
parameter by its number in the layer; forward, by its `param { name }` where it has one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from caffe_port import log
from caffe_port.islands import Islands
from caffe_port.net import Net


def watched(net: Net) -> Islands:
    """A driver of `net` that writes the lines while it runs."""
    islands = Islands(net)
    nodes = net.graph.nodes

    def forward(index: int) -> None:
        node = nodes[index]
        for top in node.tops:
            _say("net.cpp:593", "Forward", node.name, f"top blob {top.name} data", net.blobs[top.name].data)
        for i, blob in enumerate(node.layer.blobs):
            _say("net.cpp:605", "Forward", node.name, f"param blob {_title(node, i)} data", blob)

    def backward(index: int) -> None:
        node = nodes[index]
        if not node.needs_backward:
            return
        for bottom, wanted in zip(node.bottoms, node.propagate_down, strict=True):
            if wanted:
                _say(
                    "net.cpp:621", "Backward", node.name, f"bottom blob {bottom.name} diff", net.blobs[bottom.name].diff
                )
        for i, (name, learns) in enumerate(zip(node.layer.present_blobs, node.param_propagate_down, strict=True)):
            if learns:
                owner = Islands._owner(node, name)
                diff = owner.grad if owner.grad is not None else torch.zeros_like(owner)
                _say("net.cpp:632", "Backward", node.name, f"param blob {i} diff", diff)

    def end(index: int) -> None:
        if index == 0:
            _totals(net)

    islands.after_forward.append(forward)
    islands.after_backward += [backward, end]
    return islands


def _title(node: Any, i: int) -> str:
    specs = node.param.param
    return specs[i].name if i < len(specs) and specs[i].name else str(i)


def _say(place: str, direction: str, layer: str, what: str, values: Tensor) -> None:
    mean = float(values.detach().abs().mean()) if values.numel() else 0.0
    log.info(place, f"    [{direction}] Layer {layer}, {what}: {mean:g}")


def _totals(net: Net) -> None:
    data = [learnable.tensor.detach() for learnable in net.learnable]
    diffs = [learnable.diff for learnable in net.learnable]
    l1 = ", ".join(f"{sum(float(t.abs().sum()) for t in tensors):g}" for tensors in (data, diffs))
    l2 = ", ".join(f"{sum(float(t.square().sum()) for t in tensors) ** 0.5:g}" for tensors in (data, diffs))
    log.error("net.cpp:721", f"    [Backward] All net params (data, diff): L1 norm = ({l1}); L2 norm = ({l2})")
