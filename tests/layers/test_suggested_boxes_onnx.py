"""BoxOutput and BoxGroupOutput as ONNX and as a PyTorch module: the layer's own rows, over settings drawn at random."""

import numpy as np
import pytest
import torch

from caffe_port.net import Net
from converters import hub
from converters.model import as_tensor
from converters.onnx_axes import batch_axis
from converters.onnx_check import run_onnx
from converters.onnx_model import export
from converters.torch_source import run_source, source
from tests.layers.runner import Case, definition, make
from tests.layers.test_box_group_output import GROUPED, groups

SEEDS = range(25)


def drawn(kind, rng):
    """A case of one to three bottoms (or pairs), half of them of few different values, so that scores are equal."""
    images, classes, bottoms, parts = int(rng.integers(1, 4)), int(rng.integers(2, 5)), [], []
    step = rng.choice([1e-6, 0.5])

    def values(*shape):
        return np.round(rng.normal(size=shape) / step) * step

    for _ in range(rng.integers(1, 4)):
        height, width, stride = int(rng.integers(1, 6)), int(rng.integers(1, 7)), rng.choice([4, 8, 16])
        fields = rng.integers(8, 60, (rng.integers(1, 4) if kind == "BoxGroupOutput" else 1, 2))
        sides = " ".join(f"field_w: {w} field_h: {h}" for w, h in fields)
        if kind == "BoxOutput":
            parts.append(f"{sides} downsample_rate: {stride}")
            bottoms.append(values(images, classes + 4, height, width))
        else:
            parts.append(f"box_group_param {{ {sides} stride: {stride} }}")
            count = images * len(fields)
            bottoms += [values(count, classes, height, width), values(count, 4, height, width)]
    limits = rng.integers(1, 40, 2) * rng.integers(0, 2, 2)  # 0: none
    options = {
        "nms_type": f'"{rng.choice(["IOU", "IOMU", "IOFU"])}"', "iou_thr": rng.choice([-1, 0, 0.1, 0.3, 0.5, 0.8, 1.5]),
        "fg_thr": rng.choice([-5, -1, 0, 0.5, 3]), "min_size": rng.choice([-50, 0, 1, 8, 15]),
        "max_nms_num": limits[0], "max_post_nms_num": limits[1],
        "field_whr": rng.choice([1, 1.5, 2, 4]), "field_xyr": rng.choice([0.5, 1, 2]),
    }  # fmt: skip
    text = " ".join([*parts, *(f"{name}: {value}" for name, value in options.items())])
    reg = " ".join(f"bbox_mean: {m} bbox_std: {s}" for m, s in zip(values(4) / 5, (0.1, 0.1, 0.5, 1), strict=True))
    reg = f"bbox_reg_param {{ {reg} }}" * int(rng.integers(0, 2))
    message = "box_output_param" if kind == "BoxOutput" else "box_group_output_param"
    return Case(f"{kind} {options}", f'type: "{kind}" {reg} {message} {{ {text} }}', bottoms, tops=2)


def rows(net: Net, given):
    outputs = net.run({name: torch.from_numpy(array) for name, array in given.items()}).outputs
    return {name: outputs[name].numpy() for name in ("t0", "t1")}


def same(case, got, want):
    for name, top in want.items():
        assert got[name].shape == top.shape, f"{case.name}: {name}"
        # Exponentials and products differ in their last bit; sides are up to some hundred pixels.
        np.testing.assert_allclose(got[name], top, rtol=2e-6, atol=2e-5, err_msg=f"{case.name}: {name}")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["BoxOutput", "BoxGroupOutput"])
def test_random_settings(kind, seed, tmp_path):
    rng = np.random.default_rng(seed)
    case = drawn(kind, rng)
    net, path = make(case), tmp_path / "net.onnx"
    axis = batch_axis(net) if seed % 2 else None
    export(net, [axis] if axis else []).save(path)
    given = {f"b{i}": a.astype(np.float32) for i, a in enumerate(case.bottoms)}
    if axis:  # at another batch size than that of the definition
        given = {name: rng.normal(size=shape).astype(np.float32) for name, shape in axis.shapes.items()}
    same(case, run_onnx(path, given), rows(net, given))
    lost = {name: np.where(rng.random(a.shape) < 0.05, np.float32(np.nan), a) for name, a in given.items()}
    same(case, run_onnx(path, lost), rows(net, lost))
    if not axis and seed % 4 == 0:
        text, state = source(net, "net.pt")
        path.with_suffix(".py").write_text(text)
        torch.save({key: as_tensor(array) for key, array in state.items()}, path.with_suffix(".pt"))
        same(case, run_source(path.with_suffix(".py"), given, net), rows(net, given))


def test_the_random_settings_say_something():
    """Cases with rows, with fallback rows, and every overlap."""
    cases = [drawn(kind, np.random.default_rng(seed)) for kind in ("BoxOutput", "BoxGroupOutput") for seed in SEEDS]
    found = [rows(make(c), {f"b{i}": a.astype(np.float32) for i, a in enumerate(c.bottoms)}) for c in cases]
    nothing = [np.array_equal(f["t0"].ravel(), [0, 1, 1, 10, 10]) for f in found]
    assert sum(nothing) >= 3 and sum(len(f["t0"]) for f in found) >= 400
    for kind in ("IOU", "IOMU", "IOFU"):
        assert sum(f'"{kind}"' in c.name and not n for c, n in zip(cases, nothing, strict=True)) >= 5


def test_the_converter_proves_a_loop_and_reads_its_own_file_back(tmp_path):
    case = Case("l", groups(more="max_post_nms_num: 3"), GROUPED, tops=2)
    (tmp_path / "net.prototxt").write_text(definition(case))
    report = hub.convert(tmp_path / "net.prototxt", tmp_path / "net.onnx")
    assert report.check == "onnx.checker passes; onnxruntime agrees with our runtime at 2 output(s) to 0.0001"
    assert [layer.type for layer in hub.read(tmp_path / "net.onnx").net.layer][-1] == "BoxGroupOutput"
