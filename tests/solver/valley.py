"""The smallest net that a solver can train, without data: a learnable blob runs downhill to a fixed one."""

from __future__ import annotations

from pathlib import Path

NET = """
name: "valley"
layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 3 dim: 4 } } }
layer { name: "off" type: "Bias" bottom: "w" top: "off" param { lr_mult: 2 decay_mult: 0 }
        bias_param { axis: 1 filler { type: "uniform" min: 1 max: 3 } } }
layer { name: "goal" type: "Parameter" top: "goal" parameter_param { shape { dim: 3 dim: 4 } } param { lr_mult: 0 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "off" bottom: "goal" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 snapshot_prefix: "run" random_seed: 3 '


def write(folder: Path, more: str = "", solver: str = SOLVER, net: str = NET) -> str:
    """The net and its solver in `folder`; the solver's path."""
    (folder / "net.prototxt").write_text(net)
    path = folder / "solver.prototxt"
    path.write_text(solver + more)
    return str(path)
