"""Every figure that wants a GPU, by one command: `make bench-gpu`, or `python tools/benchmark_gpu.py --out DIR`.

    infer   milliseconds a patch at batch 1 and 32, multi-task and single-task, as section 4.5 of the paper (`par time`)
    train   the paper's full-size network and its baseline: training images per second over one batch in memory, the
            time of each part of an iteration, memory; in float32 as Caffe has it, and with what torch itself offers
    bench   the same network by hand in plain torch beside ours (tools/benchmark.py), and what stops the GPU, by place
    reader  training from databases beside training from memory: JPEG pedestrians with 1 to 16 threads, small raw
            records, pinned and plain copies
    equal   the GPU beside the CPU: forward and backward of the full-size network blob by blob, trainings from one
            start, the same training twice, and the layers' own tests (`make test-gpu`)

GPU.md and gpu.json in DIR grow with every measure: a run that is killed leaves what it had. A measure that fails says
why and the next goes on; none begins after --minutes. `--quick` runs all of it at a small size, on a CPU too.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import benchmark

from caffe_port import log
from caffe_port.atomic import atomic_write
from caffe_port.data.datum import encode_datum
from caffe_port.data.db import create_db
from caffe_port.layers.base import TRAIN
from caffe_port.net import Net, without_tf32
from caffe_port.par.datasets.drawn import Drawn
from caffe_port.par.network import generate
from caffe_port.par.prepare import prepare
from caffe_port.par.settings import VARIANTS
from caffe_port.par.timing import PAPER, TASKS, time_variants
from caffe_port.proto import caffe_pb2, load, text
from caffe_port.solver import Solver
from caffe_port.solver import resume as resuming

Row = dict[str, Any]


class Page:
    """GPU.md and gpu.json: a table a section, written anew with every row."""

    def __init__(self, out: Path, facts: Row, minutes: float) -> None:
        self.out, self.facts, self.sections = out, facts, dict[str, list[Row]]()
        self.end = time.monotonic() + 60 * minutes
        self.began = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)

    def row(self, section: str, **values: Any) -> None:
        self.sections.setdefault(section, []).append(values)
        print(f"[{time.monotonic() - self.began:5.0f} s] {section}: {values}", flush=True)
        with atomic_write(self.out / "gpu.json") as f:
            f.write(json.dumps({"facts": self.facts, "sections": self.sections}, indent=1).encode())
        with atomic_write(self.out / "GPU.md") as f:
            f.write(self.markdown().encode())

    def markdown(self) -> str:
        lines = ["# Measured on a GPU", "", *(f"* {name}: {value}" for name, value in self.facts.items())]
        for section, rows in self.sections.items():
            columns = list(dict.fromkeys(name for row in rows for name in row))
            lines += ["", f"## {section}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
            lines += [f"| {' | '.join(_shown(row.get(name)) for name in columns)} |" for row in rows]
        return "\n".join(lines) + "\n"

    @contextlib.contextmanager
    def measure(self, section: str, **what: Any) -> Iterator[Callable[..., None]]:
        """Gives what adds the row. An error becomes a row; nothing of the measure is left on the device."""
        if time.monotonic() > self.end:
            self.row(section, **what, note="left out: the time was up")
            yield lambda **values: None
            return
        try:
            yield lambda **values: self.row(section, **what, **values)
        except Exception as error:
            traceback.print_exc()
            lines = str(error).splitlines() or [""]
            self.row(section, **what, note=f"failed: {type(error).__name__}: {lines[0][:300]}")
        finally:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.end


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


# -- clocks ------------------------------------------------------------------------------------------------------------


def is_gpu(a: argparse.Namespace) -> bool:
    return a.device.startswith("cuda")


def wait(a: argparse.Namespace) -> None:
    if is_gpu(a):
        torch.cuda.synchronize(a.device)


def seconds(run: Callable[[], object], a: argparse.Namespace) -> float:
    wait(a)
    start = time.perf_counter()
    run()
    wait(a)
    return time.perf_counter() - start


def iteration_time(step: Callable[[int], object], a: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds an iteration: median, least and greatest of five windows of a fifth of --seconds each."""
    step(a.warmup)
    count = max(1, int(a.seconds / 5 / max(seconds(lambda: step(2), a) / 2, 1e-6)))
    times = sorted(seconds(lambda: step(count), a) / count for _ in range(5))
    return times[2], times[0], times[-1]


def moment(a: argparse.Namespace) -> Any:
    """Now, on the device's own clock."""
    if not is_gpu(a):
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(start: Any, end: Any) -> float:
    """Milliseconds from one moment to another; what the device does must be over."""
    return start.elapsed_time(end) if hasattr(start, "elapsed_time") else 1e3 * (end - start)


def parts_of_an_iteration(solver: Solver, a: argparse.Namespace) -> Row:
    """Milliseconds of forward, backward and update: medians of ten iterations."""
    marks = []
    for _ in range(10):
        solver.clear_diffs()
        start = moment(a)
        loss = solver.net.run().loss
        forward = moment(a)
        loss.backward()
        backward = moment(a)
        solver.apply_update()
        marks.append((start, forward, backward, moment(a)))
    wait(a)
    names = ("forward ms", "backward ms", "update ms")
    return {name: statistics.median(between(m[i], m[i + 1]) for m in marks) for i, name in enumerate(names)}


def on_the_gpu(step: Callable[[int], object], a: argparse.Namespace, iterations: int = 5) -> Row:
    """Milliseconds an iteration in which at least one kernel runs, and how many kernels run; nothing on a CPU."""
    if not is_gpu(a):
        return {}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step(iterations)
        wait(a)
    on_device = [e for e in profile.events() or [] if e.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [e for e in on_device if not e.name.lower().startswith("mem") and not getattr(e, "is_user_annotation", 0)]
    busy, reached = 0.0, -1.0
    for start, end in sorted((e.time_range.start, e.time_range.end) for e in kernels):
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    if not kernels:
        return {"note": "the profiler saw no kernel"}
    return {"kernels ms": busy / 1e3 / iterations, "kernels": len(kernels) // iterations}


def busy_share(found: Row, per_iteration: float) -> Row:
    """With the share of an (unprofiled) iteration's time in which the GPU computes."""
    return {**found, "GPU busy %": 0.1 * found["kernels ms"] / per_iteration} if "kernels ms" in found else found


def peak(a: argparse.Namespace) -> Row:
    if not is_gpu(a):
        return {}
    gib = 2**30
    return {"allocated GiB": torch.cuda.max_memory_allocated(a.device) / gib,
            "reserved GiB": torch.cuda.max_memory_reserved(a.device) / gib}  # fmt: skip


def start_peak(a: argparse.Namespace) -> None:
    if is_gpu(a):
        torch.cuda.reset_peak_memory_stats(a.device)


# -- train -------------------------------------------------------------------------------------------------------------

DEFAULT = "float32 (default)"
KINDS = [DEFAULT, "cudnn.benchmark", "TF32", "channels_last", "TF32, channels_last, cudnn.benchmark"]
TRAININGS = [("mtms_att", 8), ("baseline", 8), ("mtms_att", 32), ("baseline", 32)]  # the paper's batch is 8


@contextlib.contextmanager
def arithmetic(kind: str, solver: Solver) -> Iterator[None]:
    """What torch itself offers besides the default, as a program may ask for after it has built a net."""
    if "channels_last" in kind:
        net: Any = solver.net
        net.to(memory_format=torch.channels_last)
        laid = torch.channels_last
        solver.history = [h.contiguous(memory_format=laid) if h.dim() == 4 else h for h in solver.history]
    if "TF32" in kind:  # after the net was moved, which turns it off
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = "benchmark" in kind
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False
        without_tf32()


def train_part(page: Page, a: argparse.Namespace) -> None:
    for variant, batch in TRAININGS:
        for kind in KINDS:
            with page.measure("Training from memory", variant=variant, batch=batch, arithmetic=kind) as add:
                if page.is_over:
                    continue
                start_peak(a)
                solver = benchmark.training_solver(batch, a, variant)
                with arithmetic(kind, solver):
                    middle, fast, slow = iteration_time(solver.step, a)
                    row = {"images/s": batch / middle, "slowest": batch / slow, "fastest": batch / fast}
                    row |= {"ms": 1e3 * middle, **peak(a)}
                    if kind == DEFAULT:
                        row |= parts_of_an_iteration(solver, a)
                        row |= busy_share(on_the_gpu(solver.step, a), middle)
                add(**row)
                del solver


# -- infer -------------------------------------------------------------------------------------------------------------


def infer_part(page: Page, a: argparse.Namespace) -> None:
    for variant in VARIANTS:
        for batch in (1, 32):
            what = {"variant": variant, "task": TASKS[variant], "batch": batch}
            with page.measure("Inference, milliseconds a patch", **what) as add:
                if page.is_over:
                    continue
                found = time_variants(
                    (variant,), (batch,), a.device, a.repeats, a.warmup, attributes=a.attributes, classes=a.classes,
                    width=a.width, size=(a.height, a.image_width),
                )[0]  # fmt: skip
                paper = PAPER.get(variant) if batch == 1 and not a.quick else None
                add(**{"median": found.median, "fastest": found.fastest, "slowest": found.slowest,
                       "the paper's, GTX 1080 Ti": paper, "parameters": found.parameters, "MACs": found.macs,
                       "MiB": found.megabytes})  # fmt: skip


# -- bench -------------------------------------------------------------------------------------------------------------


BESIDE = [("forward", 1), ("forward", 8), ("forward", 32), ("training", 8), ("training", 32)]


def stops(run: Callable[[], object]) -> Counter[str]:
    """Where the program waits for the GPU (a value read back, a plain copy), how often."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    heard = [w for w in caught if "called a synchronizing" in str(w.message)]
    return Counter(f"{_short(w.filename)}:{w.lineno}" for w in heard)


def _short(path: str) -> str:
    return str(Path(path).relative_to(ROOT)) if Path(path).is_relative_to(ROOT) else "/".join(Path(path).parts[-3:])


def bench_part(page: Page, a: argparse.Namespace) -> None:
    section = "Beside plain torch (ratio: by hand / ours; 1 is equal)"
    for name, batch in BESIDE:
        with page.measure(section, case=f"{name}, batch {batch}") as add:
            if not page.is_over:
                case = benchmark.forward_case if name == "forward" else benchmark.training_case
                figures = case(batch, a)
                add(**{key: figures[key] for key in ("ratio", "ours_ms", "by_hand_ms", "rounds")})
    iterations = 20
    with page.measure("What stops the GPU", case=f"{iterations} training iterations, batch 8") as add:
        if not is_gpu(a):
            add(note="a CPU is not stopped")
        elif not page.is_over:
            solver = benchmark.training_solver(8, a)
            solver.step(2)
            found = stops(lambda: solver.step(iterations))
            places = ", ".join(f"{place} x {count}" for place, count in found.most_common(12))
            add(stops=sum(found.values()), places=places or "nowhere")


# -- reader ------------------------------------------------------------------------------------------------------------


def draw_databases(a: argparse.Namespace) -> None:
    """Drawn pedestrians as JPEG with attributes and segmentations; digits and thumbnails of noise as raw records."""
    dataset = Drawn(train=a.pictures, test=2, size=(a.height, a.image_width))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    prepare(dataset, a.scratch / "drawn", (a.height, a.image_width), encoding="jpeg", workers=cores)
    (a.scratch / "drawn" / "rates.txt").write_text("0.3\n" * len(dataset.attributes))
    rng = np.random.default_rng(0)
    for name, shape in SMALL.items():
        if not (a.scratch / name).exists():
            with create_db(str(a.scratch / name)) as out:
                for i in range(20 * a.pictures):
                    datum = encode_datum(rng.integers(0, 256, shape, dtype=np.uint8), i % 10)
                    out.put(f"{i:08d}".encode(), datum.SerializeToString())


SMALL = {"lenet": (1, 28, 28), "cifar10_quick": (3, 32, 32)}
TITLES = {"paper": "the paper's network, JPEG", "lenet": "LeNet, raw 28 x 28", "cifar10_quick": "CIFAR-10 quick, raw"}


def definition(name: str, a: argparse.Namespace) -> Any:
    """The TRAIN net that reads from the databases: the paper's, or one of Caffe's examples."""
    if name in SMALL:
        param = load.read_net(ROOT / "prototxt" / "classic" / name / "train_test.prototxt")
        for layer in param.layer:
            if layer.type == "Data":
                layer.data_param.source = str(a.scratch / name)
                layer.transform_param.ClearField("mean_file")
        return param
    data = a.scratch / "drawn"
    files = generate(
        "drawn", 30, width=a.width, size=(a.height, a.image_width), data=str(data), rates=str(data / "rates.txt"),
        train_images=a.pictures, test_images=2,
    )  # fmt: skip
    return text.parse(files["train_val.prototxt"], caffe_pb2.NetParameter).message


def from_memory(net: Net, param: Any) -> Any:
    """The definition with what its data layers give as inputs."""
    out = type(param)()
    out.CopyFrom(param)
    del out.layer[:]
    shapes = {top.name: top.shape for node in net.graph.nodes if node.layer.role == "data" for top in node.tops}
    for name, shape in shapes.items():
        made = out.layer.add(name=name, type="Input", top=[name])
        made.input_param.shape.add().dim.extend(shape)
    out.layer.extend(layer for layer in param.layer if layer.type != "Data")
    return out


def solver_of(param: Any, a: argparse.Namespace, device: str | None = None, **more: Any) -> Solver:
    given = {"type": "Adam", "base_lr": 1e-4, "momentum": 0.9, "lr_policy": "fixed", "random_seed": 1, **more}
    made = caffe_pb2.SolverParameter(max_iter=10**6, snapshot_prefix=str(a.scratch / "run"), **given)
    made.net_param.CopyFrom(param)
    made.train_state.stage.append("joint")
    return Solver(made, device=device or a.device, log_nets=False)


def batch_time(layers: Sequence[Any], a: argparse.Namespace) -> float:
    """Seconds that the data layers take for a batch when nobody computes."""

    def read(batches: int) -> None:
        for _ in range(batches):
            for layer in layers:
                layer()

    read(8)  # what was made ahead
    return seconds(lambda: read(a.repeats), a) / a.repeats


def copies(page: Page, a: argparse.Namespace) -> None:
    """A batch of the paper's pictures to the GPU."""
    for pinned in (True, False):
        with page.measure("Copies of a batch of 8", memory="pinned" if pinned else "plain") as add:
            if not is_gpu(a):
                add(note="a CPU needs no copy")
                continue
            batch = torch.randn(8, 3, a.height, a.image_width)
            batch = batch.pin_memory() if pinned else batch
            asked, whole = [], []
            for _ in range(a.repeats):
                wait(a)
                start = time.perf_counter()
                batch.to(a.device, non_blocking=True)
                asked.append(1e3 * (time.perf_counter() - start))
                wait(a)
                whole.append(1e3 * (time.perf_counter() - start))
            add(**{"the program waits ms": statistics.median(asked), "until it is there ms": statistics.median(whole)})


def reader_part(page: Page, a: argparse.Namespace) -> None:
    copies(page, a)
    for name, title in TITLES.items():
        section = f"Training from a database: {title}"
        memory = float("nan")
        with page.measure(section, data="memory") as add:
            if page.is_over:
                continue
            source = solver_of(definition(name, a), a)
            layers: list[Any] = [layer for layer in source.net.layers if layer.role == "data"]
            solver = solver_of(from_memory(source.net, definition(name, a)), a)
            for node in source.net.graph.nodes:
                if node.layer.role == "data":
                    tops = node.layer()
                    for top, value in zip(node.tops, (tops,) if isinstance(tops, Tensor) else tops, strict=True):
                        solver.net.blobs[top.name].data.copy_(value)
            batch = len(solver.net.blobs["data"].data)
            middle, *_ = iteration_time(solver.step, a)
            memory = batch / middle
            add(**{"images/s": memory, "of memory's %": 100.0, **busy_share(on_the_gpu(solver.step, a), middle)})
            del solver
            ways = [(threads, True) for threads in a.threads] + [(a.threads[-1], False)]
            for threads, pinned in ways:
                way = f"database, {threads} threads, {'pinned' if pinned else 'plain'}"
                with page.measure(section, data=way) as add:
                    if page.is_over:
                        continue
                    for layer in layers:
                        layer.set_workers(threads)
                        layer.pin(pinned and is_gpu(a))
                    middle, *_ = iteration_time(source.step, a)
                    row = busy_share(on_the_gpu(source.step, a), middle)
                    reads = batch / batch_time(layers, a)
                    add(**{"images/s": batch / middle, "of memory's %": 100 * batch / middle / memory, **row,
                           "reader alone, images/s": reads})  # fmt: skip
            for layer in layers:
                layer.close()


# -- equal -------------------------------------------------------------------------------------------------------------


def difference(mine: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest of `theirs`."""
    mine, theirs = mine.detach().double().cpu(), theirs.detach().double().cpu()
    scale = theirs.abs().max().item() if theirs.numel() else 0.0
    return (mine - theirs).abs().max().item() / (scale or 1.0) if theirs.numel() else 0.0


def full_size(page: Page, a: argparse.Namespace) -> None:
    """Against float64 on the CPU: float32 there and here should be about as far from it."""
    section = "Equal: the full-size network in the TRAIN phase, beside float64 on the CPU"
    with page.measure(section, what="forward") as add:
        if page.is_over:
            return
        param = text.parse(benchmark.ours("train_val", a, 2), caffe_pb2.NetParameter).message
        torch.manual_seed(2)
        labels = torch.randint(0, a.classes, (2, 1, a.height, a.image_width))
        attributes = torch.rand(2, a.attributes, 1, 1) < 0.3
        inputs = {"data": torch.randn(2, 3, a.height, a.image_width), "attr": attributes, "seg": labels}
        runs = []
        for device, kind in (("cpu", torch.float64), ("cpu", torch.float32), (a.device, torch.float32)):
            torch.manual_seed(1)
            net = Net(param, TRAIN, stages=("joint",)).to(device).to(kind)
            result = net.run({name: value.to(kind) for name, value in inputs.items()}, keep=True)
            result.loss.backward()
            diffs = {f"{e.layer.name}.{e.blob}": e.diff for e in net.learnable if e.lr_mult}
            runs.append(({name: value.detach().cpu() for name, value in result.values.items()}, diffs))
        for i, what in enumerate(("forward", "backward")):
            true, cpu, gpu = (run[i] for run in runs)
            far, where = max((difference(gpu[name], true[name]), name) for name in true)
            row: Row = {"blobs": len(true), "GPU float32, worst": far, "at": where}
            row["median"] = statistics.median(difference(gpu[name], true[name]) for name in true)
            here = [difference(cpu[name], true[name]) for name in true]
            row |= {"CPU float32, worst": max(here), "CPU median": statistics.median(here)}
            row["GPU beside CPU, worst"] = max(difference(gpu[name], cpu[name]) for name in true)
            add(**row) if what == "forward" else page.row(section, what=what, **row)


def small_training(a: argparse.Namespace, device: str, kind: str) -> tuple[list[float], list[Tensor]]:
    """Losses and learned blobs of a small drawn training, float32."""
    size = argparse.Namespace(**{**vars(a), "width": min(a.width, 8), "height": min(a.height, 64),
                                 "image_width": min(a.image_width, 32)})  # fmt: skip
    param = text.parse(benchmark.ours("train_val", size, 8), caffe_pb2.NetParameter).message
    solver = solver_of(param, a, device, type=kind, base_lr=1e-3 if kind == "SGD" else 3e-4)
    rng = torch.Generator().manual_seed(3)
    for name, value in solver.net.blobs.items():
        if name in ("data", "attr", "seg"):
            drawn = torch.rand(value.shape, generator=rng)
            scaled = {"data": 2 * drawn - 1, "attr": (drawn < 0.3).float(), "seg": (drawn * a.classes).floor()}
            value.data.copy_(scaled[name])
    losses = []
    for _ in range(a.iterations):
        solver.step(1)
        losses.append(float(solver.smoothed.value))
    return losses, [e.tensor.detach().cpu() for e in solver.net.learnable if e.lr_mult]


SOLVERS = ("SGD", "Adam")


def trainings(page: Page, a: argparse.Namespace) -> None:
    """SGD keeps rounding small; Adam divides by what is nearly 0 at first, and lets it grow."""
    section = f"Equal: {a.iterations} iterations of the small network from one start"
    for kind in SOLVERS:
        with page.measure(section, solver=kind, what="GPU beside CPU") as add:
            if page.is_over:
                continue
            losses, blobs = small_training(a, a.device, kind)
            theirs, their_blobs = small_training(a, "cpu", kind)
            apart = [abs(x - y) / abs(y) for x, y in zip(losses, theirs, strict=True)]
            weights = max(difference(x, y) for x, y in zip(blobs, their_blobs, strict=True))
            add(**{"first loss": theirs[0], "last loss": theirs[-1], "loss apart, first": apart[0],
                   "loss apart, at most": max(apart), "weights apart, at most": weights})  # fmt: skip
    for what, prepare_for in (("twice on the GPU", None), ("twice, as --exact-resume asks", resuming.repeatable)):
        with page.measure(section, solver="Adam", what=what) as add:
            if page.is_over:
                continue
            if prepare_for is not None:
                prepare_for(torch.device(a.device))
            try:
                (_, one), (_, other) = (small_training(a, a.device, "Adam") for _ in range(2))
            finally:
                torch.use_deterministic_algorithms(False)
            same = sum(torch.equal(x, y) for x, y in zip(one, other, strict=True))
            add(note=f"{same} of {len(one)} blobs equal bit for bit")


def layer_tests(page: Page, a: argparse.Namespace) -> None:
    with page.measure("Equal: tests/layers/test_devices.py") as add:
        if page.is_over:
            return
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/layers/test_devices.py"]
        command += ["-k", "cuda" if is_gpu(a) else "relu and far"]
        limit = max(30.0, page.end - time.monotonic())
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with open(a.out / "test_devices.log", "w", encoding="utf-8") as said:
            try:
                subprocess.run(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, timeout=limit, env=environment)
                ended = ""
            except subprocess.TimeoutExpired:
                ended = f", stopped after {limit:.0f} s"
        lines = (a.out / "test_devices.log").read_text(encoding="utf-8").splitlines()
        failed = [line.split(" ")[1].rpartition("::")[2] for line in lines if line.startswith(("FAILED", "ERROR"))]
        add(result=(lines or ["no output"])[-1].strip("= ") + ended, failed=", ".join(failed[:40]) or "none")


def equal_part(page: Page, a: argparse.Namespace) -> None:
    without_tf32()
    full_size(page, a)
    trainings(page, a)
    layer_tests(page, a)


# -- all ---------------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Page, argparse.Namespace], None]] = {
    "infer": infer_part, "train": train_part, "bench": bench_part, "reader": reader_part, "equal": equal_part,
}  # fmt: skip
QUICK = {"width": 2, "height": 32, "image_width": 16, "attributes": 5, "classes": 4, "seconds": 0.02, "warmup": 1,
         "repeats": 2, "rounds": 2, "pictures": 12, "iterations": 3, "threads": [1, 2]}  # fmt: skip


def facts(a: argparse.Namespace) -> Row:
    found = {"torch": torch.__version__, "device": a.device, "cores": os.cpu_count()}
    if is_gpu(a):
        found["GPU"] = torch.cuda.get_device_name(a.device)
        found |= {"CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version()}
        found["GPU memory GiB"] = round(torch.cuda.get_device_properties(a.device).total_memory / 2**30, 1)
    found["network"] = f"width {a.width}, {a.height} x {a.image_width}, {a.attributes} attributes, {a.classes} classes"
    if a.quick:
        found["sizes"] = "--quick: a test of this program, not a measurement"
    return found


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("runs/gpu"), help="default: runs/gpu")
    p.add_argument("--only", default=",".join(PARTS), metavar="A,B", help=f"of {', '.join(PARTS)} (default: all)")
    p.add_argument("--minutes", type=float, default=8, help="no measure begins later (default 8)")
    p.add_argument("--quick", action="store_true", help="everything at a small size")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--seconds", type=float, default=2, help="that each speed is measured for (default 2)")
    a = p.parse_args(argv)
    chosen = a.only.split(",")
    if unknown := [name for name in chosen if name not in PARTS]:
        p.error(f"--only: there is no part '{unknown[0]}'; there are {', '.join(PARTS)}")
    for name, value in {"width": 64, "height": 256, "image_width": 128, "attributes": 51, "classes": 20, "warmup": 10,
                        "repeats": 50, "rounds": 15, "pictures": 512, "iterations": 50, "threads": [1, 4, 8, 16],
                        **(QUICK if a.quick else {})}.items():  # fmt: skip
        setattr(a, name, value)
    a.out = a.out.resolve()
    page = Page(a.out, {}, a.minutes)
    with tempfile.TemporaryDirectory() as scratch, open(a.out / "log.txt", "w", encoding="utf-8") as lines:
        a.scratch = Path(scratch)
        log.redirect(lines)
        try:
            run(page, a, chosen)
        finally:
            log.redirect(None)
    print(page.markdown())
    return 0


def run(page: Page, a: argparse.Namespace, chosen: Sequence[str]) -> None:
    if "reader" in chosen:  # first: it makes processes by fork, as long as CUDA has not started
        with page.measure("Preparation", what="drawn databases") as add:
            start = time.perf_counter()
            draw_databases(a)
            add(seconds=time.perf_counter() - start)
    page.facts = facts(a)
    for name, part in PARTS.items():
        if name in chosen:
            part(page, a)


if __name__ == "__main__":
    sys.exit(main())
