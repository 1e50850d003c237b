"""Our runtime's functional driver: the reference that the others are measured against."""

from __future__ import annotations

import torch

from converters.engines import Arrays, Case
from converters.onnx_check import run_ours


class Engine:
    name = "functional"

    def why_not(self, case: Case) -> str | None:
        return None

    def version(self, case: Case) -> str:
        return f"torch {torch.__version__}"

    def run(self, case: Case) -> Arrays:
        return run_ours(case.reference_net, case.inputs)

    def gradients(self, case: Case) -> Arrays:
        """d(sum of output * seed) by first versions of blobs and by parameters (`<layer>.<blob>`)."""
        net = case.reference_net
        inputs = {name: torch.from_numpy(array).requires_grad_() for name, array in case.inputs.items()}
        parameters = {
            f"{p.layer.name}.{p.blob}": p.tensor for p in net.learnable if isinstance(p.tensor, torch.nn.Parameter)
        }
        for tensor in parameters.values():
            tensor.requires_grad_(True)
        values = net.run(inputs, keep=True, prune=False).values
        wanted = {id: v for id, v in values.items() if v.requires_grad and "@" not in id} | parameters
        total = sum(
            (values[net.graph.last[name].id] * torch.from_numpy(seed)).sum() for name, seed in case.seeds.items()
        )
        grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)  # type: ignore[arg-type]
        return {name: grad.numpy() for name, grad in zip(wanted, grads, strict=True) if grad is not None}
