"""Training and measuring the jobs of a plan, one folder a job, each left alone once it is done.

<out>/<job>/job.json           its settings, and marks of the data and weights it was begun on (marks.py); a folder with
                               other settings is refused, and any job beside one of other data or weights
<out>/<job>/nets, *.caffemodel, log_*.log
<out>/<job>/evaluation.json, pictures.npz, predictions.npz (prob1, prob2, truth)
"""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe_port import weight_map
from caffe_port.atomic import atomic_write
from caffe_port.errors import CaffeError, DataError
from caffe_port.net import Net
from caffe_port.par import run as runs
from caffe_port.par import start_weights
from caffe_port.par.evaluate import evaluate
from caffe_port.par.experiment.marks import begun_on, changed, marks
from caffe_port.par.experiment.plan import Job, Plan
from caffe_port.par.network import generate
from caffe_port.par.parsing.pseudo import interrupted
from caffe_port.par.prepare import finished
from caffe_port.par.run import snapshots
from caffe_port.proto import load
from caffe_port.proto.load import read_solver
from caffe_port.solver.actions import Poll, never

Step = runs.Step
PICTURES = 16


def prepared(data: str | Path) -> dict[str, Any]:
    """What the manifest of a prepared data set says about a net for it."""
    folder = Path(data)
    parameters = finished(folder)["parameters"]
    if interrupted(folder):
        raise DataError(f"{folder}: `par pseudo-label` was interrupted there, or runs; the same command goes on")
    try:
        count = {n: len((folder / f"{n}.txt").read_text().splitlines()) for n in ("attributes", "classes")}
        mean = tuple(float(line) for line in (folder / "mean_bgr.txt").read_text().split())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a folder that `par prepare` finished: {error}") from None
    lacking = {"train", "test"} - set(parameters["splits"])
    if lacking:
        raise DataError(f"{folder}: has no split '{min(lacking)}'; prepare the splits train and test")
    images = {f"{split}_images": parameters["splits"][split] for split in ("train", "test")}
    return {**count, "size": tuple(parameters["size"]), "mean": mean, **images}


def run_jobs(
    plan: Plan, table: str, out: str | Path, device: str = "cpu", poll: Poll = never, step: Step | None = None,
    only: str | None = None,
) -> list[Path]:  # fmt: skip
    """Do what is not done yet; the jobs' folders in order. `only` keeps to jobs whose name holds this text, so that
    several processes or machines can share a table."""
    jobs = plan.jobs(table)
    facts = prepared(plan.data)
    folders = []
    for i, job in enumerate(jobs):
        folder = Path(out) / job.name
        folders.append(folder)
        if only is not None and only not in job.name:
            continue
        if step is not None:
            step(f"{table}: {job.name}", i, len(jobs), "")
        run_job(plan, job, facts, folder, device, poll, step)
    return folders


def run_job(
    plan: Plan, job: Job, facts: dict[str, Any], folder: Path, device: str, poll: Poll, step: Step | None
) -> None:
    """Train and measure one job, from wherever an earlier call came to."""
    knobs = plan.settings(job, facts, str(folder / "nets"))
    if plan.weights:  # published weights expect the mean that they were trained with, in Caffe's world ImageNet's
        taken = weight_map.read(plan.weight_map).adapted_picture if plan.weight_map else None
        knobs["mean"] = plan.knobs.get("mean", taken.mean if taken and taken.mean else (104.0, 117.0, 123.0))
    elif "scale" not in knobs:
        knobs["scale"] = 1 / 64
    settings = {"dataset": plan.dataset, "weights": list(plan.weights), "map": plan.weight_map, **knobs}
    _claim(folder, settings, marks(plan))
    if (folder / "evaluation.json").exists():
        return
    (folder / "nets").mkdir(exist_ok=True)
    for name, text in generate(plan.dataset, **knobs).items():
        (folder / "nets" / name).write_text(text, encoding="utf-8")
    start = []
    if plan.weights:
        train_val = folder / "nets" / "train_val.prototxt"
        start.append(str(start_weights.start(plan.weights, plan.weight_map, train_val, folder)))
    share_stage1(job, folder)
    about = {
        "title": f"{job.variant} on {plan.dataset}", "dataset": plan.dataset, "variant": job.variant, "loss": job.loss,
        "width": plan.width, "size": list(knobs["size"]), "train_images": facts["train_images"], "batch": plan.batch,
        "seed": job.seed, "data": plan.data, "machine": machine(device),
    }  # fmt: skip
    final = runs.train(folder / "nets", folder, start, device, poll=poll, step=step, about=about)[-1]
    _claim(folder, settings, marks(plan))  # training takes hours, in which somebody may have labelled the data anew
    measure(folder, final, plan, device, step)


def share_stage1(job: Job, folder: Path) -> None:
    """Take stage I from the other two-stage variant of the same loss and seed, where that has trained it already.

    Stage I is the same net in both, and pruned to itself it draws the same random numbers: trained again it would come
    out the same, bit for bit. Not where the settings differ in anything else, as the paper's base_lr by variant does.
    """
    other = {"mtms": "mtms_att", "mtms_att": "mtms"}.get(job.variant)
    if other is None or snapshots(folder, "stage1"):
        return
    sibling = folder.with_name(Job(other, job.loss, job.seed).name)
    mine, theirs = _read(folder / "job.json"), _read(sibling / "job.json")
    if mine.get("base_lr") is None or not mine.get("prune_stage1"):
        return
    if any(mine.get(k) != theirs.get(k) for k in {*mine, *theirs} - {"variant", "folder"}):
        return
    final = f"stage1_iter_{read_solver(folder / 'nets' / 'solver_stage1.prototxt').max_iter}.caffemodel"
    if (sibling / final).exists():
        shutil.copy(sibling / "log_stage1.log", folder)
        shutil.copy(sibling / final, folder / f"{final}.part")
        (folder / f"{final}.part").rename(folder / final)


def measure(folder: Path, weights: Path, plan: Plan, device: str, step: Step | None) -> None:
    def progress(done: int, total: int) -> None:
        if step is not None:
            step("evaluating", done, total, "")

    result = evaluate(
        folder / "nets" / "train_val.prototxt", weights, plan.data, plan.split, 32, device, pictures=PICTURES,
        progress=progress,
    )  # fmt: skip
    arrays = {f"prob{n}": p.astype(np.float32) for n, p in result.probabilities.items()}
    with atomic_write(folder / "predictions.npz") as f:
        np.savez_compressed(f, truth=result.truth, **arrays)  # type: ignore[arg-type]
    result.save_pictures(folder / "pictures.npz")
    net = Net(load.read_net(folder / "nets" / "deploy.prototxt"))
    facts = {"parameters": net.parameter_count(), "macs": net.macs()}
    _write(folder / "run.json", {**_read(folder / "run.json"), **facts})
    result.save(folder / "evaluation.json")


def machine(device: str) -> str:
    """The hardware in words, for the tables."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"


def _claim(folder: Path, settings: dict[str, Any], now: dict[str, str]) -> None:
    """The folder is this job's, or new. One with other settings is refused, and so is any job beside it that was begun
    on other data or weights, so that no table mixes two experiments."""
    text = json.dumps({**settings, "marks": now}, indent=1, sort_keys=True, default=list) + "\n"
    path = folder / "job.json"
    if path.exists():
        old, new = _read(path), json.loads(text)
        other = sorted(k for k in {*old, *new} - {"marks"} if old.get(k) != new.get(k))
        if other:
            raise CaffeError(
                f"{folder}: was begun with other settings ({other[0]}: {old.get(other[0])}, now "
                f"{new.get(other[0])}); give another --out, or remove it"
            )
    for begun in sorted(folder.parent.glob("*/job.json")):
        if unlike := changed(begun_on(begun.parent), now):
            raise CaffeError(
                f"{begun.parent}: was begun on other data or weights (changed since: {', '.join(unlike)}); give "
                f"another --out, bring them back, or remove {folder.parent}"
            )
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as f:
        f.write(text.encode())


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as f:
        f.write((json.dumps(content, indent=1) + "\n").encode())
