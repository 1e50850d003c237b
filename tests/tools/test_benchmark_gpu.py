"""The benchmark for a GPU, at a small size: on the CPU, and with stand-ins for what only CUDA has."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._dynamo  # looks at torch.cuda.Event (torch 2.4): before a test replaces it

from tests.tools.scripts import ROOT, load

SMALL = {"width": 1, "attributes": 3, "seconds": 0.001, "warmup": 1, "repeats": 1,
         "rounds": 1, "iterations": 1, "pictures": 9, "threads": [1]}  # fmt: skip


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    tool = load("benchmark_gpu")
    monkeypatch.setattr(tool, "QUICK", {**tool.QUICK, **SMALL})
    monkeypatch.setattr(tool.gc, "collect", lambda: 0)  # slow among all that the tests have imported
    monkeypatch.setattr(tool, "VARIANTS", ("baseline",))
    monkeypatch.setattr(tool, "TRAININGS", [("baseline", 2)])
    monkeypatch.setattr(tool, "KINDS", [tool.DEFAULT, tool.KINDS[-1]])
    monkeypatch.setattr(tool, "BESIDE", [("forward", 1), ("training", 2)])
    monkeypatch.setattr(tool, "SMALL", {"lenet": (1, 28, 28)})
    monkeypatch.setattr(tool, "TITLES", {"lenet": "LeNet"})
    return tool


def run(tool: Any, out: Path, *parts: str) -> dict[str, list[dict[str, Any]]]:
    assert tool.main(["--quick", "--device=cpu", "--only", ",".join(parts), "--out", str(out)]) == 0
    sections = json.loads((out / "gpu.json").read_text())["sections"]
    assert all(f"## {name}\n" in (out / "GPU.md").read_text() for name in sections)
    failed = [row for rows in sections.values() for row in rows if "failed:" in str(row.get("note"))]
    assert not failed, failed
    return sections


def test_on_the_cpu(tool: Any, tmp_path: Path) -> None:
    times = run(tool, tmp_path, "infer")["Inference, milliseconds a patch"]
    assert [row["batch"] for row in times] == [1, 32] and all(row["median"] > 0 for row in times)


def event(start: float, end: float, name: str = "kernel", device: Any = None) -> SimpleNamespace:
    kind = torch.autograd.DeviceType
    return SimpleNamespace(name=name, time_range=SimpleNamespace(start=start, end=end), device_type=device or kind.CUDA)


class Profile:
    """Two iterations: kernels in 1000 of 5000 microseconds, two of them at once, and what is no kernel."""

    def __init__(self, **options: Any) -> None: ...

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def events(self) -> list[SimpleNamespace]:
        here = event(0, 5000, "aten::add", torch.autograd.DeviceType.CPU)
        copy = event(0, 5000, "Memcpy HtoD (Pinned -> Device)")
        return [event(100, 500), event(300, 700), event(320, 400), event(4600, 5000), here, copy]


class Moment:
    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None: ...

    def elapsed_time(self, other: Moment) -> float:
        return 2.5


def test_what_only_cuda_has(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything believes that it is on a GPU, and computes on the CPU."""
    monkeypatch.setattr(tool, "is_gpu", lambda a: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.profiler, "profile", Profile)
    for name, stand_in in {
        "Event": Moment, "synchronize": lambda device: None, "reset_peak_memory_stats": lambda device: None,
        "max_memory_allocated": lambda device: 3 * 2**30, "max_memory_reserved": lambda device: 4 * 2**30,
        "get_device_name": lambda device: "a GPU", "set_sync_debug_mode": lambda mode: None,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=80 * 2**30),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    found = run(tool, tmp_path, "train", "bench", "reader")
    assert [row["arithmetic"] for row in found["Training from memory"]] == tool.KINDS
    first = found["Training from memory"][0]
    assert (first["allocated GiB"], first["reserved GiB"], first["forward ms"]) == (3, 4, 2.5)
    assert first["kernels"] == 0 and first["kernels ms"] == 0.2  # of five iterations
    assert found["What stops the GPU"][0]["places"] == "nowhere"
    assert [row["memory"] for row in found["Copies of a batch of 8"]] == ["pinned", "plain"]
    ways = [row["data"] for row in found["Training from a database: LeNet"]]
    assert ways == ["memory", "database, 1 threads, pinned", "database, 1 threads, plain"]


def test_what_stops_the_gpu_is_counted_by_place(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def set_mode(mode: str) -> None:
        modes.append(mode)
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)

    def stopped() -> None:
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_mode)
    found = tool.stops(stopped)
    assert list(found.values()) == [3] and next(iter(found)).startswith("tests/tools/test_benchmark_gpu.py:")
    assert modes == ["warn", "default"]


def test_a_measure_that_fails_and_one_that_comes_too_late(tool: Any, tmp_path: Path) -> None:
    page = tool.Page(tmp_path, {}, minutes=1)
    with page.measure("a", case=1) as add:
        raise RuntimeError("no such kernel\nand more")
    page.end = 0
    with page.measure("a", case=2) as add:
        add(value=3)
    notes = [row["note"] for row in page.sections["a"]]
    assert notes == ["failed: RuntimeError: no such kernel", "left out: the time was up"]


def test_the_gpu_beside_the_cpu(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "layer_tests", lambda page, a: None)  # which would run tests within tests
    monkeypatch.setattr(tool, "SOLVERS", ("SGD",))
    found = run(tool, tmp_path, "equal")
    rows = [row for rows in found.values() for row in rows]
    assert rows[0]["GPU beside CPU, worst"] == 0 and rows[0]["blobs"] > 300
    assert rows[2]["weights apart, at most"] == 0
    assert rows[3]["note"] == rows[4]["note"] and "equal bit for bit" in rows[3]["note"]
