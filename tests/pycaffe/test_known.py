"""Python layers whose modules are not there: py-faster-rcnn's proposals and ENet's dropout."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.detection import greedy
from tests.layers.runner import Case, feed, make, outputs

H, W = 4, 5


def proposal(param_str: str, bottoms: Any, tops: int = 2, phase: str = "TEST") -> Case:
    text = f"python_param {{ module: 'rpn.proposal_layer' layer: 'ProposalLayer' param_str: \"{param_str}\" }}"
    return Case("proposal", f'type: "Python" {text}', bottoms, tops=tops, phase=phase)


def bottoms(anchors: int, info: Any = (70, 90, 1.0), side: tuple[int, int] = (H, W)) -> list[Any]:
    rng = np.random.default_rng(2)
    count = 2 * anchors * math.prod(side)
    scores = rng.permutation(count).reshape(1, 2 * anchors, *side) / count
    return [scores, rng.normal(size=(1, 4 * anchors, *side)).astype(np.float32).astype(float) * 0.3, np.array([info])]


def reference(given: Any, ratios: Any, scales: Any, stride: int, post: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """From the paper and the original: anchors of area 256 times scale^2, by ratio and then scale."""
    scores, offsets, (info,) = given
    count, found = len(ratios) * len(scales), []
    for y, x in np.ndindex(*scores.shape[2:]):
        for a in range(count):
            ratio, scale = ratios[a // len(scales)], scales[a % len(scales)]
            wide = round(math.sqrt(256 / ratio))
            high, wide = round(wide * ratio) * scale, wide * scale
            x1, y1 = x * stride + 7.5 - (wide - 1) / 2, y * stride + 7.5 - (high - 1) / 2
            dx, dy, dw, dh = offsets[0, 4 * a : 4 * a + 4, y, x]
            cx, cy = x1 + wide / 2 + dx * wide, y1 + high / 2 + dy * high
            half = math.exp(dw) * wide / 2, math.exp(dh) * high / 2
            box = [min(max(v, 0), info[1 - i % 2] - 1) for i, v in
                   enumerate((cx - half[0], cy - half[1], cx + half[0], cy + half[1]))]  # fmt: skip
            if min(box[2] - box[0], box[3] - box[1]) + 1 >= 16 * info[2]:
                found.append((scores[0, count + a, y, x], box))
    order = sorted(range(len(found)), key=lambda i: -found[i][0])
    kept = greedy([box for _, box in found], order, 0.7, pixels=1)[:post]
    return np.array([[0, *found[i][1]] for i in kept]), np.array([[found[i][0]] for i in kept])


FORMS = [
    ("'feat_stride': 16", (0.5, 1, 2), (8, 16, 32), 16),
    ("'feat_stride': 16 \\n'scales': !!python/tuple [1, 2]", (0.5, 1, 2), (1, 2), 16),
    ("{'feat_stride': 8, 'num_classes': 21, 'ratios': [0.333, 1.5], 'scales': [2, 3, 5]}", (0.333, 1.5), (2, 3, 5), 8),
]


@pytest.mark.parametrize(("param_str", "ratios", "scales", "stride"), FORMS)
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_proposals(param_str: str, ratios: Any, scales: Any, stride: int, scale: float) -> None:
    given = bottoms(len(ratios) * len(scales), (70, 90, scale))
    case = proposal(param_str, given)
    rois, scores = outputs(make(case), feed(case, torch.float32))
    want, wanted = reference(given, ratios, scales, stride)
    assert 3 < len(want) < given[0].size // 2  # something was left out
    np.testing.assert_allclose(rois.numpy(), want, atol=2e-4)  # float32, on a picture of 90 pixels
    np.testing.assert_allclose(scores.numpy(), wanted, rtol=1e-6)


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 in TEST, 2000 in TRAIN: small boxes on a large picture, which hardly overlap."""
    given = bottoms(2, (1600, 1600, 1.0), (50, 50))
    given[1][:] = 0
    lengths = {}
    for phase in ("TEST", "TRAIN"):
        case = proposal("{'feat_stride': 32, 'ratios': [1], 'scales': [1, 2]}", given, 1, phase)
        lengths[phase] = outputs(make(case), feed(case, torch.float32))[0].shape
    assert lengths == {"TEST": (300, 5), "TRAIN": (2000, 5)}


@pytest.mark.parametrize(("param_str", "words"), [
    ("'feat_stride': 16\\n'momentum': 3", "has 'momentum'"), ("feat_stride = 16", "is not 'name': value"),
])  # fmt: skip
def test_options_that_are_not_known(param_str: str, words: str) -> None:
    with pytest.raises(LayerError, match=f"layer 'l'.*{words}"):
        make(proposal(param_str, bottoms(9)))


def test_shapes_that_do_not_fit() -> None:
    case = proposal("'feat_stride': 16", bottoms(2))
    with pytest.raises(LayerError, match=r"9 anchors want \(1, 18"):
        outputs(make(case), feed(case, torch.float32))


def test_a_module_that_is_there_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # to which the layer adds the folder
    Path("spatial_dropout.py").write_text(
        "import caffe\n\n\nclass SpatialDropoutLayer(caffe.Layer):\n    def reshape(self, bottom, top):\n"
        "        top[0].reshape(7)\n\n    def forward(self, bottom, top):\n        top[0].data[...] = 7\n"
    )
    try:
        assert outputs(make(dropout("TRAIN")), feed(dropout("TRAIN"), torch.float32))[0].tolist() == [7] * 7
    finally:
        del sys.modules["spatial_dropout"]


def dropout(phase: str, p: str = "0.25", shape: tuple[int, ...] = (3, 40, 2, 5)) -> Case:
    param = f"{{'phase': '{phase}', 'p': '{p}'}}"
    return Case("dropout", "type: 'Python' python_param { module: 'spatial_dropout' layer: 'SpatialDropoutLayer' "
                f'param_str: "{param}" }}', [shape])  # fmt: skip


def test_dropout() -> None:
    case = dropout("TRAIN")
    bottoms_ = {"b0": feed(case, torch.float32)["b0"].requires_grad_()}
    torch.manual_seed(0)
    top = outputs(make(case), bottoms_)[0]
    factor = (top / bottoms_["b0"]).detach()
    assert torch.allclose(factor, factor[:, :, :1, :1].expand_as(factor), atol=1e-6)  # whole channels
    share = (factor[:, :, 0, 0] == 0).float().mean()
    assert 0.12 < share < 0.4 and not torch.equal(factor[0], factor[1])
    assert torch.allclose(factor[factor != 0], torch.tensor(4 / 3))
    top.sum().backward()
    assert torch.allclose(bottoms_["b0"].grad, factor, atol=1e-6)
    still = outputs(make(dropout("TEST")), bottoms_)[0]
    assert torch.allclose(still, bottoms_["b0"] * 4 / 3)
    with pytest.raises(LayerError, match="between 0 and 1"):
        make(dropout("TRAIN", "1"))
