"""BN: PSPNet's four blobs and SegNet's two, both phases, the stored statistics, whose lr_mult is 0."""

import numpy as np
import pytest
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

X = (3, 2, 3, 2)
PSP = 'slope_filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "uniform" min: -1 max: 1 }'
SEG = 'scale_filler { type: "uniform" min: 0.5 max: 2 } shift_filler { type: "uniform" min: -1 max: 1 }'


def laid(values, x):
    return values.reshape(-1, *[1] * (x.ndim - 2))


def by_batch(eps):
    def tops(bottoms, blobs):
        x, slope, bias = bottoms[0], laid(blobs[0], bottoms[0]), laid(blobs[1], bottoms[0])
        axes = tuple(i for i in range(x.ndim) if i != 1)
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        shown = [mean.reshape(1, -1, 1, 1), variance.reshape(1, -1, 1, 1)]
        return [(x - mean) / np.sqrt(variance + eps) * slope + bias, *shown]

    return tops


def first(reference):
    return lambda bottoms, blobs: reference(bottoms, blobs)[:1]


def stored(eps):
    def tops(bottoms, blobs):
        slope, bias, mean, variance = (laid(b, bottoms[0]) for b in blobs)
        return [(bottoms[0] - mean) / np.sqrt(variance + eps) * slope + bias]

    return tops


def line(bottoms, blobs):
    return [bottoms[0] * laid(blobs[0], bottoms[0]) + laid(blobs[1], bottoms[0])]


def case(name, options, reference, bottom=X, **more):
    more.setdefault("opencv", "it has no layer of this name")
    return Case(name, f'type: "BN" bn_param {{ {options} }}', [bottom], reference, **more)


CASES = [
    case("PSPNet, stored", f"{PSP} frozen: true", stored(1e-5), gradient=False),
    case("PSPNet, stored, of vectors", f"{PSP} eps: 0.1", stored(0.1), (4, 3)),
    case("PSPNet, stored, of rows", PSP, stored(1e-5), (4, 3, 5)),
    case("icnet", "icnet: true", stored(1e-5)),
    case("PSPNet, TEST", f"{PSP} eps: 0.5", stored(0.5)),
    case("PSPNet, frozen in training", f"{PSP} frozen: true", stored(1e-5), phase="TRAIN", gradient=False),
    case("PSPNet, batch", PSP, first(by_batch(1e-5)), phase="TRAIN"),
    case("PSPNet, batch, eps", f"{PSP} eps: 0.3 momentum: 0.5", first(by_batch(0.3)), phase="TRAIN"),
    case("PSPNet, one number a channel", PSP, first(by_batch(1e-5)), (1, 3), phase="TRAIN"),
    case("no option", "", stored(1e-5)),
    case("SegNet, LEARN", SEG, first(by_batch(1e-9))),
    case("SegNet, LEARN, training", f"{SEG} bn_mode: LEARN", first(by_batch(1e-9)), phase="TRAIN"),
    case("SegNet, LEARN, rows", SEG, first(by_batch(1e-9)), (4, 3, 5)),
    case("SegNet, three tops", SEG, by_batch(1e-9), tops=3),
    case("SegNet, INFERENCE", f"{SEG} bn_mode: INFERENCE", line),
    case("SegNet, INFERENCE, vectors", f"{SEG} bn_mode: INFERENCE", line, (4, 3)),
    case("SegNet, empty batch", SEG, None, (0, 3, 5, 2), gradient=False, onnx_in="an axis of size 0"),
]
test_cases = run(CASES)
test_refused = refusals([
    (f'type: "BN" bn_param {{ {SEG} frozen: true }}', [X], 1, "scale_filler is SegNet's BN and frozen is PSPNet's"),
    ('type: "BN" bn_param { bn_mode: INFERENCE }', [X], 2, "only SegNet's BN in bn_mode LEARN"),
    ('type: "BN" bn_param { eps: 1 }', [X], 2, "only SegNet's BN"),
    ('type: "BN"', [(4,)], 1, "must have channels"),
])


@pytest.mark.parametrize(("phase", "moves"), [("TRAIN", True), ("TEST", False)])
def test_the_stored_statistics(phase, moves):
    net = make(case("l", f"{PSP} momentum: 0.75", None, phase=phase))
    layer, x = net.layer("l"), torch.randn(X)
    layer.mean.fill_(2)
    layer.variance.fill_(3)
    layer(x)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    assert torch.allclose(layer.mean.flatten(), 1.5 + 0.25 * mean if moves else torch.full((2,), 2.0), atol=1e-6)
    assert torch.allclose(layer.variance.flatten(), 2.25 + 0.25 * variance if moves else torch.full((2,), 3.0))


@pytest.mark.parametrize(("options", "rates"), [
    (PSP, [5, 1, 0, 0]), (f"{PSP} frozen: true", [0, 0, 0, 0]), (SEG, [5, 1]),
])
def test_rates(options, rates):
    net = make(Case("l", f'type: "BN" param {{ lr_mult: 5 }} bn_param {{ {options} }}', [X], phase="TRAIN"))
    assert [learnable.lr_mult for learnable in net.learnable] == rates
    x, layer = torch.randn(X, requires_grad=True), net.layer("l")
    net.run({"b0": x}, keep=True).values["t0"].sum().backward()
    bias = layer.bias
    if "frozen" in options:
        slope = (layer.slope / (layer.variance + 1e-5).sqrt()).expand(X)
        assert torch.allclose(x.grad, slope)
    assert (bias.grad is not None and bool(bias.grad.any())) == (rates[1] > 0)


def test_shapes_of_the_blobs():
    assert [tuple(b.shape) for b in make(case("l", PSP, None)).layer("l").blobs] == [(1, 2, 1, 1)] * 4
    assert [tuple(b.shape) for b in make(case("l", SEG, None)).layer("l").blobs] == [(1, 2, 1, 1)] * 2
