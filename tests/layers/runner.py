"""The one runner of all layers' case tables.

A layer's test file holds `CASES`, one line a case, and `test_cases = run(CASES)`. For each case the runner holds that
the shape rule is the actual shape; forward is the reference (written from the definition, in float64); backward is the
numerical derivative (float64); the island driver gives what the functional driver gives; ONNX in onnxruntime gives
forward, or the layer refuses as declared; that ONNX, read back operator by operator, is a net of stock layers that
gives forward, or the reader refuses as declared; the standalone PyTorch source gives forward; OpenCV's own Caffe reader
gives forward, or the case says why not.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError, UnsupportedError
from caffe_port.islands import Islands
from caffe_port.layers.base import REGISTRY, TEST, TRAIN
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from converters.from_onnx import walk
from converters.model import as_tensor
from converters.onnx_check import run_onnx, run_ours
from converters.onnx_model import export
from converters.torch_source import run_source, source

Reference = Callable[[list[np.ndarray], list[np.ndarray]], Sequence[np.ndarray]]


@dataclass
class Case:
    """One setting of one layer.

    `layer`: the layer's text without name, bottoms and tops. `bottoms`: shapes (drawn from a normal distribution) or
    arrays. `gradient`: check backward to every bottom that may have a gradient, to these bottoms only, or not at all.
    `onnx`, `opencv`: True, or why there is none. `onnx_in`, `source`: True, or what the refusal says, as a pattern;
    `run` sets them for a whole table. `tolerance` of forward against the reference, relative to the largest value.
    """

    name: str
    layer: str
    bottoms: Sequence[Any]
    reference: Reference | None = None
    phase: str = "TEST"
    tops: int = 1
    gradient: bool | tuple[int, ...] = True
    onnx: bool | str = True
    onnx_in: bool | str = True
    source: bool | str = True
    opencv: bool | str = True
    tolerance: float = 1e-5
    opencv_tolerance: float = 1e-4


def definition(case: Case) -> str:
    arrays = inputs(case)
    lines = ["force_backward: true"]
    for i, a in enumerate(arrays):
        dims = " ".join(f"dim: {d}" for d in a.shape)
        lines.append(f'layer {{ name: "b{i}" type: "Input" top: "b{i}" input_param {{ shape {{ {dims} }} }} }}')
    bottoms = " ".join(f'bottom: "b{i}"' for i in range(len(arrays)))
    tops = " ".join(f'top: "t{i}"' for i in range(case.tops))
    lines.append(f'layer {{ name: "l" {bottoms} {tops} {case.layer} }}')
    return "\n".join(lines)


def inputs(case: Case) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [
        np.asarray(b, np.float64)
        if isinstance(b, np.ndarray | list)
        else rng.normal(size=b).astype(np.float32).astype(float)
        for b in case.bottoms
    ]


def make(case: Case) -> Net:
    torch.manual_seed(3)
    param = text.parse(definition(case), caffe_pb2.NetParameter, f"case {case.name}").message
    return Net(param, TRAIN if case.phase == "TRAIN" else TEST)


def close(got: np.ndarray, want: np.ndarray, tolerance: float, what: str, case: Case) -> None:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{case.name}: {what}: shape {got.shape}, not {want.shape}"
    if want.size == 0:
        return
    assert (np.isnan(got) == np.isnan(want)).all(), f"{case.name}: {what}: NaN in different places"
    infinite = np.isinf(want)
    assert (got[infinite] == want[infinite]).all(), f"{case.name}: {what}: infinities differ"
    error = np.where(infinite | np.isnan(want), 0, np.abs(np.where(infinite, 0, got) - np.where(infinite, 0, want)))
    scale = max(float(np.abs(np.nan_to_num(np.where(infinite, 0, want))).max()), 1e-3)
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    assert error[worst] <= tolerance * scale, (
        f"{case.name}: {what}: worst at {tuple(int(i) for i in worst)}: {got[worst]!r}, not {want[worst]!r} "
        f"(scale {scale:.3g}, tolerance {tolerance:g}); rerun only this with -k '{only(case)}'"
    )


def only(case: Case) -> str:
    """A pytest -k expression for the case: its words, joined."""
    words = re.findall(r"\w+", case.name)
    return " and ".join(words) or case.name


def feed(case: Case, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {f"b{i}": torch.tensor(a, dtype=dtype) for i, a in enumerate(inputs(case))}


def outputs(net: Net, bottoms: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    values = net.run(bottoms, keep=True).values
    return [values[t.id] for t in net.graph.nodes[-1].tops]


def check_forward(case: Case) -> None:
    net = make(case).double()
    torch.manual_seed(5)
    tops = outputs(net, feed(case, torch.float64))
    for value, top in zip(net.graph.nodes[-1].tops, tops, strict=True):
        assert tuple(top.shape) == value.shape, (
            f"{case.name}: the shape rule says {value.shape}, forward {tuple(top.shape)}"
        )
    if case.reference is not None:
        fresh = make(case).double()
        blobs = [b.detach().numpy().copy() for b in fresh.layer("l").blobs]
        wanted = case.reference(inputs(case), blobs)
        assert len(wanted) == len(tops)
        for i, (top, want) in enumerate(zip(tops, wanted, strict=True)):
            close(top.detach().numpy(), want, case.tolerance, f"top {i}", case)
    singles = outputs(make(case), feed(case, torch.float32))
    if case.phase == "TEST":
        for i, (single, top) in enumerate(zip(singles, tops, strict=True)):
            close(single.detach().numpy(), top.detach().numpy(), max(case.tolerance, 2e-5), f"float32 top {i}", case)


def check_gradient(case: Case) -> None:
    net = make(case).double()
    layer = net.layer("l")
    allowed = layer.differentiable_bottoms
    wanted = [
        i
        for i in range(len(case.bottoms))
        if (allowed is None or i in allowed) and (case.gradient is True or i in case.gradient)  # type: ignore[operator]
    ]
    bottoms = [torch.tensor(a) for a in inputs(case)]
    buffers = {k: v.clone() for k, v in layer.named_buffers()}

    def function(*free: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():  # statistics start anew at every evaluation
            for k, v in layer.named_buffers():
                v.copy_(buffers[k])
        torch.manual_seed(5)
        given = list(bottoms)
        for i, value in zip(wanted, free, strict=False):
            given[i] = value
        tops = layer(*given)
        tops = (tops,) if isinstance(tops, torch.Tensor) else tops
        return tuple(t for t in tops if t.requires_grad) or (sum((f.sum() for f in free), torch.zeros(())) * 0,)

    free = [bottoms[i].clone().requires_grad_() for i in wanted] + list(layer.parameters())
    if free:
        # All derivatives one by one where they are few, else a random projection of them.
        many = sum(f.numel() for f in free) > 120
        torch.autograd.gradcheck(function, free, eps=1e-6, atol=1e-5, rtol=1e-4, nondet_tol=0.0, fast_mode=many)


def check_islands(case: Case) -> None:
    seeds = [
        torch.tensor(np.random.default_rng(9).normal(size=v.shape), dtype=torch.float32)
        for v in make(case).graph.nodes[-1].tops
    ]
    functional, other = make(case), make(case)
    bottoms = {k: v.requires_grad_() for k, v in feed(case, torch.float32).items()}
    torch.manual_seed(5)
    tops = outputs(functional, bottoms)
    pairs = [(t, s) for t, s in zip(tops, seeds, strict=True) if t.requires_grad]
    if pairs:
        torch.autograd.backward([t for t, _ in pairs], [s.reshape(t.shape) for t, s in pairs])
    islands = Islands(other)
    for name, value in bottoms.items():
        other.blobs[name].data.copy_(value.detach())
    torch.manual_seed(5)
    islands.forward()
    for i, (top, seed) in enumerate(zip(tops, seeds, strict=True)):
        blob = other.blobs[f"t{i}"]
        close(blob.data.numpy(), top.detach().numpy(), 0, f"island top {i}", case)
        blob.diff.copy_(seed.reshape(blob.shape))
    islands.backward()
    for name, value in bottoms.items():
        if value.grad is not None:
            close(other.blobs[name].diff.numpy(), value.grad.numpy(), 1e-6, f"island diff of {name}", case)
    for mine, theirs in zip(functional.learnable, other.learnable, strict=True):
        close(theirs.diff.numpy(), mine.diff.numpy(), 1e-6, f"island diff of blob {mine.blob}", case)


def singles(case: Case) -> dict[str, np.ndarray]:
    """The bottoms in float32, as the engines of others take them."""
    return {k: v.numpy() for k, v in feed(case, torch.float32).items()}


def compare(case: Case, what: str, got: Mapping[str, np.ndarray]) -> None:
    for i, top in enumerate(outputs(make(case), feed(case, torch.float32))):
        close(got[f"t{i}"], top.detach().numpy(), max(case.tolerance, 2e-5), f"{what} top {i}", case)


def check_onnx(case: Case) -> None:
    if case.onnx is not True:
        with pytest.raises(CaffeError, match="layer 'l'"):
            export(make(case))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        export(make(case)).save(path)
        compare(case, "ONNX", run_onnx(path, singles(case)))


def check_onnx_in(case: Case) -> None:
    exported = export(make(case))
    if case.onnx_in is not True:
        with pytest.raises(UnsupportedError, match=str(case.onnx_in)):
            walk(exported.model, exported.initializers, {}, case.name)
        return
    model, blobs = walk(exported.model, exported.initializers, {}, case.name)
    for layer in model.net.layer:
        assert REGISTRY[layer.type].origin == "BVLC", f"{case.name}: layer {layer.name} is a fork's {layer.type}"
        for message in (layer, *(value for _, value in layer.ListFields() if hasattr(value, "ListFields"))):
            assert all(f.number < 20000 for f, _ in message.ListFields()), f"{case.name}: a fork's field in {layer}"
    net = model.runtime()
    values = run_ours(net, {name: array for name, array in singles(case).items() if name in net.inputs})
    compare(case, "ONNX in", {name: values[net.graph.last[blob].id] for name, blob in blobs.items()})


def check_source(case: Case) -> None:
    net = make(case)
    if case.onnx is not True or case.source is not True:
        with pytest.raises(CaffeError, match="layer 'l'" if case.source is True else str(case.source)):
            source(net, "net.pt")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.py")
        text, state = source(net, "net.pt")
        path.write_text(text)
        torch.save({key: as_tensor(array) for key, array in state.items()}, path.with_suffix(".pt"))
        roots = {name.split(".")[0] for name in re.findall(r"^ *(?:from|import) ([\w.]+)", text, re.MULTILINE)}
        assert roots == {"__future__", "pathlib", "torch"}, f"{case.name}: the module imports {sorted(roots)}"
        compare(case, "source", run_source(path, singles(case), net))


def check_opencv(case: Case) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is an optional second opinion")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("OpenCV 5 has no Caffe reader")
    net = make(case)
    with tempfile.TemporaryDirectory() as folder:
        prototxt, model = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        prototxt.write_text(definition(case))
        net.save(model)
        theirs = cv2.dnn.readNetFromCaffe(str(prototxt), str(model))
    for name, value in feed(case, torch.float32).items():
        theirs.setInput(value.numpy(), name)
    top = outputs(net, feed(case, torch.float32))[0].detach().numpy()
    got = theirs.forward("l" if "l" in theirs.getLayerNames() else "t0")  # it renames convolutions by their tops
    close(np.asarray(got).reshape(top.shape), top, case.opencv_tolerance, "OpenCV's top", case)


CHECKS: dict[str, Callable[[Case], None]] = {
    "forward": check_forward,
    "gradient": check_gradient,
    "islands": check_islands,
    "onnx": check_onnx,
    "onnx_in": check_onnx_in,
    "source": check_source,
    "opencv": check_opencv,
}


def applies(check: str, case: Case) -> bool:
    if check == "gradient":
        return case.gradient is not False
    if check == "opencv":
        return case.opencv is True and case.phase == "TEST"
    if check == "onnx_in":
        return case.phase == "TEST" and case.onnx is True
    if check in ("onnx", "source"):
        return case.phase == "TEST"
    return True


def run(cases: Sequence[Case], onnx_in: bool | str = True, source: bool | str = True) -> Callable[..., None]:
    """The test function of a table: every check that applies to every case. `onnx_in`, `source`: of all its cases that
    do not say otherwise."""
    for case in cases:
        case.onnx_in = onnx_in if case.onnx_in is True else case.onnx_in
        case.source = source if case.source is True else case.source
    table = [
        pytest.param(check, case, id=f"{case.name}-{check}")
        for case in cases
        for check in CHECKS
        if applies(check, case)
    ]

    @pytest.mark.parametrize(("check", "case"), table)
    def test_cases(check: str, case: Case) -> None:
        CHECKS[check](case)

    test_cases.cases = list(cases)  # type: ignore[attr-defined]  # for the table of layers
    return test_cases
