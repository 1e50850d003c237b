"""Inference time of one pedestrian patch, multi-task and single-task, as section 4.5 reports it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from caffe_port.net import Net
from caffe_port.par.network import generate
from caffe_port.par.settings import VARIANTS
from caffe_port.proto import caffe_pb2, text

PAPER = {"mtms_att": 17.55, "baseline": 13.58}
"""Milliseconds a patch on one GTX 1080 Ti: "the multi-task model" and "the single-task one"."""
TASKS = {"baseline": "single-task", "multitask": "multi-task", "mtms": "multi-task", "mtms_att": "multi-task"}


@dataclass(frozen=True)
class Timing:
    """Median, fastest and slowest pass over one batch, in milliseconds a patch. `megabytes` is the most memory that the
    GPU held, None on a CPU."""

    variant: str
    batch: int
    median: float
    fastest: float
    slowest: float
    parameters: int
    macs: int
    megabytes: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def time_variants(
    variants: Sequence[str] = VARIANTS, batches: Sequence[int] = (1, 32), device: str = "cpu", repeats: int = 30,
    warmup: int = 5, dataset: str = "rap", attributes: int = 51, step: Callable[[str], None] | None = None,
    **knobs: Any,
) -> list[Timing]:  # fmt: skip
    """Time the deploy nets with their starting weights (the time does not depend on them); `knobs` go to the
    generator."""
    found = []
    for variant in variants:
        deploy = generate(dataset, attributes, variant=variant, train_images=1, test_images=1, **knobs)[
            "deploy.prototxt"
        ]
        net = Net(text.parse(deploy, caffe_pb2.NetParameter).message)
        net.to(device)
        shape = net.graph.last["data"].shape
        for batch in batches:
            if step:
                step(f"timing {variant}, batch {batch}")
            found.append(_time(net, variant, batch, shape, device, repeats, warmup))
    return found


def _time(net: Net, variant: str, batch: int, shape: Sequence[int], device: str, repeats: int, warmup: int) -> Timing:
    cuda = device.startswith("cuda")
    data = torch.randn(batch, *shape[1:], device=device)
    taken = []
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        for i in range(warmup + repeats):
            if cuda:
                torch.cuda.synchronize(device)
            began = time.perf_counter()
            net(data=data)
            if cuda:
                torch.cuda.synchronize(device)
            if i >= warmup:
                taken.append(1000 * (time.perf_counter() - began) / batch)
    megabytes = torch.cuda.max_memory_allocated(device) / 2**20 if cuda else None
    one = net.macs() // max(shape[0], 1)
    return Timing(
        variant, batch, statistics.median(taken), min(taken), max(taken), net.parameter_count(), one, megabytes
    )


def table(timings: Sequence[Timing], machine: str, full_size: bool = True) -> str:
    """Text; the paper's figures stand beside networks of its size only."""
    lines = [f"milliseconds a patch on {machine}", ""]
    lines.append(
        f"{'variant':<12}{'task':<13}{'batch':>6}{'median':>9}{'fastest':>9}{'slowest':>9}{'MACs':>10}  the paper"
    )
    for t in timings:
        paper = f"{PAPER[t.variant]:.2f} (GTX 1080 Ti)" if full_size and t.batch == 1 and t.variant in PAPER else ""
        memory = f"  {t.megabytes:.0f} MiB" if t.megabytes is not None else ""
        lines.append(
            f"{t.variant:<12}{TASKS[t.variant]:<13}{t.batch:>6}{t.median:>9.2f}{t.fastest:>9.2f}{t.slowest:>9.2f}"
            f"{t.macs / 1e9:>9.2f}G  {paper}{memory}".rstrip()
        )
    by = {(t.variant, t.batch): t.median for t in timings}
    ratios = [by["mtms_att", b] / by["baseline", b] for b in sorted({t.batch for t in timings})
              if ("mtms_att", b) in by and ("baseline", b) in by]  # fmt: skip
    if ratios:
        said = ", ".join(f"{r:.2f}" for r in ratios)
        lines += ["", f"multi-task (mtms_att) over single-task (baseline): {said}; the paper: {17.55 / 13.58:.2f}"]
    return "\n".join(lines)
