"""Every layer's cases away from the CPU: on CUDA where there is one (`make test-gpu`), and always on a stand-in for it.

Each case runs forward and backward there and here, from the same blobs, bottoms and seeds. The island driver does so
too: on CUDA for each case, on the stand-in for the first of each layer.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from caffe_port.islands import Islands
from caffe_port.net import Net, without_tf32
from tests.layers.far import PLACE, Far, FarTensor, crossed
from tests.layers.runner import Case, close, feed, make, outputs

FAR = "far"
PLACES = [FAR, "cuda"] if torch.cuda.is_available() else [FAR]
# The stand-in computes with the CPU's own kernels. CUDA sums in other orders: float32 of a few thousand terms.
TOLERANCE = {FAR: 1e-6, "cuda": 1e-4}

# What makes every pass of a layer stop a GPU: values that the host waits for ("back"), and copies from it ("there").
STOPS = {
    "BoxGroupOutput": "back: suppression asks for the next box, and rows of the top depend on values",
    "BoxOutput": "back: as BoxGroupOutput",
    "DetectionEvaluate": "back, there: counted by the host, as in its Caffe",
    "DetectionOutput": "back: suppression, which its Caffe does on the host, and rows of the top",
    "Filter": "back: rows of the top",
    "MultiBoxLoss": "back: matching and mining, which its Caffe does on the host",
    "PSROIPooling": "back: which regions lie in an image",
    "Proposal": "back: as DetectionOutput",
    "Python": "back, there: its code is the host's",
    "ROIAlign": "back: as PSROIPooling, and how many samples a bin has",
    "ROIPooling": "back: how large the largest window is",
    "RegionLoss": "back: the true boxes, by which the loss is put together",
    "YoloDetectionOutput": "back: as DetectionOutput",
    "Yolov3": "back, there: as RegionLoss; with another iou_loss than MSE the host computes",
    "Yolov3DetectionOutput": "back: as DetectionOutput",
}


def tables() -> Iterator[Any]:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.stem == "test_devices":
            continue
        cases = getattr(importlib.import_module(f"tests.layers.{path.stem}"), "CASES", [])
        for i, case in enumerate(case for case in cases if isinstance(case, Case)):
            for place in PLACES:
                yield pytest.param(case, place, i == 0, id=f"{path.stem[5:]}-{case.name}-{place}")


@contextmanager
def on(place: str) -> Iterator[Callable[[Any], Any]]:
    """Brings nets and tensors to the place."""
    device = PLACE if place == FAR else torch.device(place)
    with Far() if place == FAR else nullcontext():
        yield lambda thing: thing.to(device)


def results(
    case: Case, islands: bool, move: Callable[[Any], Any] = lambda thing: thing, seed: int = 5
) -> dict[str, Tensor]:
    """Tops, and the gradients of bottoms and blobs; with `islands`, of both drivers."""
    net = move(make(case))
    bottoms = {name: move(value).requires_grad_() for name, value in feed(case, torch.float32).items()}
    torch.manual_seed(seed)
    tops = outputs(net, bottoms)
    rng = np.random.default_rng(9)
    seeds = [move(torch.tensor(rng.normal(size=tuple(top.shape)), dtype=torch.float32)) for top in tops]
    pairs = [(top, one) for top, one in zip(tops, seeds, strict=True) if top.requires_grad]
    if pairs and case.gradient is not False:
        torch.autograd.backward([top for top, _ in pairs], [one for _, one in pairs])
    found = {f"top {i}": top for i, top in enumerate(tops)}
    found |= {f"diff of {name}": value.grad for name, value in bottoms.items() if value.grad is not None}
    found |= {f"diff of blob {one.blob}": one.diff for one in net.learnable}
    if not islands:
        return found
    other = move(make(case))
    driver = Islands(other)
    for name, value in bottoms.items():
        other.blobs[name].data.copy_(value.detach())
    torch.manual_seed(seed)
    driver.forward()
    found |= {f"island top {i}": other.blobs[f"t{i}"].data for i in range(len(tops))}
    if pairs and case.gradient is not False:
        for i, one in enumerate(seeds):
            other.blobs[f"t{i}"].diff.copy_(one)
        driver.backward()
        found |= {f"island diff of blob {one.blob}": one.diff for one in other.learnable}
    return found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device: only the stand-in was tested")
def test_cuda_is_tested() -> None:
    assert "cuda" in PLACES


@pytest.mark.parametrize(("case", "place", "first"), tables())
def test_same_as_on_the_cpu(case: Case, place: str, first: bool) -> None:
    islands = first or place != FAR
    want = results(case, islands)
    with on(place) as move:
        got = results(case, islands, move)
    assert got.keys() == want.keys()
    away = [name for name, value in got.items() if place == FAR and not isinstance(value, FarTensor)]
    assert not away, f"{case.name}: {away} came back to the CPU"
    if place == "cuda":  # whose random numbers are others
        again = results(case, islands, seed=6)
        got = {name: value for name, value in got.items() if torch.equal(again[name], want[name])}
    for name, value in got.items():
        tolerance = max(case.tolerance, TOLERANCE[place])
        close(value.detach().cpu().numpy(), want[name].detach().numpy(), tolerance, f"{name} on {place}", case)


def by_type() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case, place, _ in (table.values for table in tables()):
        if place == FAR:
            found.setdefault(re.findall(r'type: "(\w+)"', case.layer)[0], []).append(case)
    return found


@pytest.mark.parametrize(("kind", "cases"), [pytest.param(*item, id=item[0]) for item in by_type().items()])
def test_what_stops_a_gpu_from_the_second_pass_on(kind: str, cases: list[Case]) -> None:
    met: dict[str, str] = {}
    for case in cases:
        with on(FAR) as move:
            net = move(make(case))
            bottoms = {name: move(value).requires_grad_() for name, value in feed(case, torch.float32).items()}
            for _ in range(2):
                crossed.clear()
                tops = [top for top in outputs(net, bottoms) if top.requires_grad]
                if tops and case.gradient is not False:
                    torch.autograd.backward(tops, [torch.ones_like(top) for top in tops])
            met |= {way: f"{case.name}: {operation}" for way, operation in crossed}
    assert sorted(met) == sorted(way for way in ("back", "there") if way in STOPS.get(kind, "").split(":")[0]), met


@pytest.mark.parametrize(("operation", "ways"), [
    (lambda x, near: x.sum() * near.sum(), []),  # a number of the host goes along with the kernel
    (lambda x, near: near.to(PLACE), ["there"]),
    (lambda x, near: x.copy_(near), ["there"]),
    (lambda x, near: x.new_tensor([1, 2]), ["there"]),
    (lambda x, near: x[[1, 0]], ["there"]),
    (lambda x, near: torch.where(x > 0, x, near.sum()), ["there"]),
    (lambda x, near: torch.where(x > 0, x, 0), []),
    (lambda x, near: x.cpu(), ["back"]),
    (lambda x, near: x.tolist(), ["back"]),
    (lambda x, near: bool((x > 0).any()), ["back"]),
    (lambda x, near: x[x > 0], ["back"]),
    (lambda x, near: x.index_put_((x > 0,), x[0]), []),
    (lambda x, near: x.nonzero(), ["back"]),
])  # fmt: skip
def test_the_stand_in_notes_what_stops_cuda(operation: Callable[[Tensor, Tensor], Any], ways: list[str]) -> None:
    with on(FAR) as move:
        x, near = move(torch.ones(3)), torch.ones(3)
        crossed.clear()
        operation(x, near)
        assert [way for way, _ in crossed] == ways


def test_the_stand_in_refuses_what_cuda_refuses() -> None:
    with on(FAR) as move:
        there, here = move(torch.ones(2, 3)), torch.ones(3)
        with pytest.raises(RuntimeError, match="two devices"):
            there + here
        with pytest.raises(TypeError, match="NumPy"):
            there.numpy()
        assert (there + torch.tensor(1.0)).cpu().tolist() == [[2.0] * 3] * 2
        assert there[torch.tensor([1])].shape == (1, 3)
        assert isinstance(torch.zeros(2, device=there.device), FarTensor) and not isinstance(torch.zeros(2), FarTensor)


def test_tf32_is_off_where_a_net_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    net: Net = make(Case("nothing to learn", 'type: "ReLU"', [(2, 3)]))
    with on(FAR) as move:
        move(net)
        assert net.device == PLACE
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_tf32_is_off_whatever_a_program_said_before() -> None:
    """torch 2.9 has newer switches beside the old ones, and fails where it is asked and they contradict each other."""
    switches: Any = torch.backends
    torch.set_float32_matmul_precision("high")
    if hasattr(switches.cudnn, "conv"):
        switches.cudnn.conv.fp32_precision = switches.cuda.matmul.fp32_precision = "tf32"
    without_tf32()
    assert torch.get_float32_matmul_precision() == "highest"
    assert not switches.cudnn.allow_tf32 and not switches.cuda.matmul.allow_tf32
    if hasattr(switches.cudnn, "conv"):
        assert switches.cudnn.conv.fp32_precision == switches.cuda.matmul.fp32_precision == "ieee"
