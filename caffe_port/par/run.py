"""A run: the folder in which a network of the paper is trained, evaluated, converted, proven and shown.

    train(nets, run)     every solver of `nets` in order: solver_stage1.prototxt, then solver_joint.prototxt; of a body
                         parser's folder solver.prototxt
    finish(run)          measures, conversions, parity, and the page report.html, from what training left

Training leaves run.json (settings), log_<stage>.log (Caffe's lines), <stage>_iter_N.caffemodel, .solverstate and
.resume. Both functions go on from what is there: a finished stage is not trained again, an interrupted one resumes from
its last snapshot, data and random streams included, so that it comes out as if nothing had happened, bit for bit.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from caffe_port import log
from caffe_port.atomic import atomic_write
from caffe_port.errors import CaffeError, DataError
from caffe_port.par.evaluate import Evaluation, evaluate
from caffe_port.par.report import STAGES, write_report
from caffe_port.proto.load import read_solver
from caffe_port.solver import Solver, resume
from caffe_port.solver.actions import Poll, never

SOLVERS = {**{stage: f"solver_{stage}.prototxt" for stage in STAGES}, "parser": "solver.prototxt"}
"""The solver of each training, in order."""
Step = Callable[[str, int, int, str], None]
"""Told of progress: what is being done, how far, of how much, a note."""


def train(
    nets: str | Path,
    run: str | Path,
    weights: Sequence[str] = (),
    device: str = "cpu",
    poll: Poll = never,
    step: Step | None = None,
    about: dict[str, Any] | None = None,
) -> list[Path]:
    """Train by the solver files in `nets`, each stage from the last one's weights; the stages' weights.

    `weights` start the first stage. `about` goes into run.json, for the page. Raises CaffeError where `nets` holds no
    solver, and where `poll` asked to stop (the run can be continued by the same call).
    """
    nets, run = Path(nets), Path(run)
    stages = [stage for stage, solver in SOLVERS.items() if (nets / solver).is_file()]
    if not stages:
        raise CaffeError(
            f"{nets}: holds no solver_joint.prototxt and no parser's solver.prototxt; `caffe-port par prototxt --out "
            f"{nets}`, or `par parser`, writes one"
        )
    run.mkdir(parents=True, exist_ok=True)
    _note(run, nets=str(nets), folder=str(Path.cwd()), device=str(device), **(about or {}))
    start, made = list(weights), []
    for stage in stages:
        final = _train_stage(nets, run, stage, start, device, poll, step)
        made.append(final)
        start = [*weights, str(final)]  # a pruned stage 1 knows nothing of stage II, which then starts from `weights`
    return made


def _train_stage(
    nets: Path, run: Path, stage: str, weights: Sequence[str], device: str, poll: Poll, step: Step | None
) -> Path:
    param = read_solver(nets / SOLVERS[stage])
    if not Path(param.net).is_file():
        param.net = str(nets / Path(param.net).name)
    param.snapshot_prefix = str(run / stage)
    final = run / f"{stage}_iter_{param.max_iter}.caffemodel"
    if final.is_file():
        return final
    states = snapshots(run, stage, ".solverstate")
    began = time.monotonic()
    with open(run / f"log_{stage}.log", "a" if states else "w", encoding="utf-8") as lines:
        log.redirect(lines, record=True)
        try:
            solver = Solver(param, device=device, poll=poll, log_nets=False, exact_resume=True)
            if states:
                # A snapshot of `caffe-port train` may lack the third file; from that the data begin anew, as in Caffe.
                solver.exact_resume = Path(resume.file_name(states[-1])).is_file()
                solver.restore(states[-1])
                solver.exact_resume = True
            elif weights:
                for path in weights:
                    solver.net.copy_from(path)
            if step is not None:
                solver.add_callback(
                    lambda: step(f"training {stage}", solver.iter, param.max_iter, f"loss {solver.recent_loss:.4g}"),
                    _nothing,
                )
            solver.solve()
        finally:
            log.redirect(None)
    if solver.requested_early_exit:
        raise CaffeError(f"training {stage} stopped at iteration {solver.iter}; the same command goes on from there")
    seconds = _settings(run).get("seconds", {})
    _note(run, seconds={**seconds, stage: seconds.get(stage, 0) + round(time.monotonic() - began, 1)})
    return final


def last_weights(run: str | Path) -> Path | None:
    """The newest weights of the last training that has any."""
    trained = [found[-1] for stage in SOLVERS if (found := snapshots(run, stage))]
    return trained[-1] if trained else None


def snapshots(run: str | Path, stage: str, suffix: str = ".caffemodel") -> list[Path]:
    """The stage's snapshots of one kind, oldest first."""
    found = {}
    for path in Path(run).glob(f"{stage}_iter_*{suffix}"):
        if number := re.fullmatch(rf"{stage}_iter_(\d+){re.escape(suffix)}", path.name):
            found[int(number[1])] = path
    return [found[i] for i in sorted(found)]


def finish(
    run: str | Path,
    device: str = "cpu",
    batch: int = 32,
    pictures: int = 6,
    split: str = "test",
    step: Step | None = None,
) -> Path:
    """Evaluate the last trained weights, convert them to PyTorch and ONNX, prove them equal, write the page; its path.

    Raises DataError where nothing has been trained, and CaffeError where the converted models are not equal.
    """
    run = Path(run)
    nets = Path(_settings(run).get("nets", ""))
    trained = {stage: found[-1] for stage in STAGES if (found := snapshots(run, stage))}
    if not trained:
        raise DataError(f"{run}: holds no trained weights; `caffe-port par train NETS --out {run}` makes them")
    weights = list(trained.values())[-1]
    _evaluate(run, nets, weights, split, device, batch, pictures, step)
    prove(run, nets / "deploy.prototxt", weights, step)
    return write_report(run)


def _evaluate(
    run: Path, nets: Path, weights: Path, split: str, device: str, batch: int, pictures: int, step: Step | None
) -> Evaluation:
    """Both stages of the last weights (a net that only stage I has trained has no meaning in stage II)."""

    def progress(done: int, total: int) -> None:
        if step is not None:
            step("evaluating", done, total, "")

    data = _settings(run).get("data")
    result = evaluate(nets / "train_val.prototxt", weights, data=data, split=split, batch=batch, device=device,
                      pictures=pictures, progress=progress)  # fmt: skip
    result.save(run / "evaluation.json")
    (run / "evaluation.txt").write_text(result.table() + "\n", encoding="utf-8")
    if pictures:
        result.save_pictures(run / "pictures.npz")
    return result


def prove(run: Path, deploy: Path, weights: Path, step: Step | None = None) -> Any:
    """model.caffemodel, .pt, .safetensors and .onnx, the standalone module.py, beside the run, and parity.json."""
    import converters
    from caffe_port.net import Net
    from caffe_port.proto.load import read_net
    from converters import validate as parity

    net = Net(read_net(deploy))
    _note(run, parameters=net.parameter_count(), macs=net.macs() // max(net.graph.last["data"].shape[0], 1))
    # module.py has its weights beside it in module.pt, so it cannot be called model.
    targets = [run / f for f in ("model.caffemodel", "model.pt", "model.safetensors", "module.py", "model.onnx")]
    notes = []
    for i, target in enumerate(targets):
        if step is not None:
            step("converting", i, len(targets), target.name)
        notes.append(str(converters.convert(weights, target, model=deploy)))
    if step is not None:
        step("proving", 0, 1, "the same inputs through every engine")
    result = parity.validate(deploy, weights, batch=2)
    with atomic_write(run / "parity.json") as f:
        f.write(result.to_json().encode())
    (run / "parity.txt").write_text(parity.format_table(result, every=True) + "\n", encoding="utf-8")
    if step is not None:
        step("proving", 1, 1, "")
    if not result.ok:
        raise CaffeError(f"the converted models are not equal:\n{parity.format_table(result)}")
    return result


def _settings(run: Path) -> dict[str, Any]:
    path = run / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _note(run: Path, **settings: Any) -> None:
    """Add to run.json."""
    merged = {**_settings(run), **settings}
    with atomic_write(run / "run.json") as f:
        f.write((json.dumps(merged, indent=1) + "\n").encode())


def _nothing() -> None:
    """No reduction of diffs: one process trains."""


def pick_device(device: str | None) -> str:
    """As given, else the GPU where there is one."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")
