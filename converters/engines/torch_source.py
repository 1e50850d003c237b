"""The standalone PyTorch module that `.py` conversion writes, with the last version of every blob as an output."""

from __future__ import annotations

import torch

from converters.engines import Arrays, Case
from converters.model import as_tensor
from converters.torch_source import run_source, source


class Engine:
    name = "standalone"

    def why_not(self, case: Case) -> str | None:
        return None

    def version(self, case: Case) -> str:
        return f"torch {torch.__version__}"

    def run(self, case: Case) -> Arrays:
        net, path = case.reference_net, case.folder / "standalone.py"
        text, state = source(net, "standalone.pt", expose=True)
        path.write_text(text, encoding="utf-8")
        torch.save({key: as_tensor(array) for key, array in state.items()}, path.with_suffix(".pt"))
        return {net.graph.last[name].id: array for name, array in run_source(path, case.inputs, net).items()}
