"""Our runtime's island driver, layer by layer, over blobs that in-place layers overwrite."""

from __future__ import annotations

import torch

from caffe_port.islands import Islands
from caffe_port.net import Net
from converters.engines import Arrays, Case


class Engine:
    name = "islands"

    def why_not(self, case: Case) -> str | None:
        return None

    def version(self, case: Case) -> str:
        return f"torch {torch.__version__}"

    def run(self, case: Case) -> Arrays:
        net = case.net()
        self._set_inputs(net, case)
        driver, values = Islands(net), {}
        for node in net.graph.nodes:
            driver.forward(node.index, node.index)
            for top in node.tops:
                values[top.id] = net.blobs[top.name].data.numpy().copy()
        return values

    def gradients(self, case: Case) -> Arrays:
        param = type(case.model.net)()
        param.CopyFrom(case.model.net)
        param.force_backward = True
        net = Net(param)
        net.copy_from(case.model.layer_blobs())
        net.reshape({name: array.shape for name, array in case.inputs.items()})
        self._set_inputs(net, case)
        driver = Islands(net)
        for node in net.graph.nodes:  # without a loss Caffe would leave every layer out of the backward pass
            node.propagate_down, node.needs_backward = [True] * len(node.bottoms), True
        driver.forward()
        for name, seed in case.seeds.items():
            net.blobs[name].diff.copy_(torch.from_numpy(seed))
        driver.backward()
        diffs = {name: blob.diff.numpy() for name, blob in net.blobs.items()}
        return diffs | {f"{p.layer.name}.{p.blob}": p.diff.numpy() for p in net.learnable}

    @staticmethod
    def _set_inputs(net: Net, case: Case) -> None:
        for name, array in case.inputs.items():
            net.blobs[name].data.copy_(torch.from_numpy(array))
