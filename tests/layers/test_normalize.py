"""Normalize: over pixels and images, one scale and one a channel, and the gradient that is SSD's own."""

import numpy as np
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

UNIFORM = 'scale_filler { type: "uniform" min: 0.5 max: 1.5 }'
TWENTY = 'scale_filler { type: "constant" value: 20 }'
X = (2, 3, 4, 5)


def reference(across=True, eps=1e-10):
    def tops(bottoms, blobs):
        x, scale = bottoms[0], blobs[0]
        axes = tuple(range(1, x.ndim)) if across else 1
        unit = x / np.sqrt((x**2).sum(axes, keepdims=True) + eps)
        return [unit * (scale.reshape(-1, *[1] * (x.ndim - 2)) if scale.ndim else scale)]

    return tops


def case(name, options, shape, found, **more):
    return Case(name, f'type: "Normalize" norm_param {{ {options} }}', [shape], found, **more)


PIXEL = "across_spatial: false"
CASES = [
    case("image", "", X, reference()),
    case("image, scaled", TWENTY, X, reference()),
    case("pixel", f"{PIXEL} {UNIFORM}", X, reference(False)),
    case("pixel, equal scales", f"{PIXEL} channel_shared: false {TWENTY}", X, reference(False)),
    case("pixel, scale a channel", f"{PIXEL} channel_shared: false {UNIFORM}", X, reference(False), gradient=False),
    case("image, scale a channel", f"channel_shared: false {UNIFORM}", X, reference(), gradient=False,
         opencv="over an image it takes the first scale for all"),
    case("vectors", PIXEL, (4, 3), reference(False)),
    case("rows", f"{PIXEL} channel_shared: false {TWENTY}", (4, 3, 2), reference(False)),
    case("eps", "eps: 0.5", X, reference(eps=0.5), opencv="it adds eps after the root"),
    case("zeros", PIXEL, np.zeros((2, 3, 1, 2)), reference(False), gradient=False),
    case("empty batch", "", (0, 3, 2, 2), reference(), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Normalize"', [(3,)], 1, "2 to 4 axes"),
    ('type: "Normalize"', [(2, 3, 1, 2, 2)], 1, "2 to 4 axes"),
])


def test_with_one_scale_a_channel_the_gradient_is_scale_times_that_of_the_normalisation():
    layer = make(case("l", f"{PIXEL} channel_shared: false {UNIFORM}", X, None)).double().layer("l")
    x, seed = torch.randn(X, dtype=torch.float64, requires_grad=True), torch.randn(X, dtype=torch.float64)
    layer(x).backward(seed)
    length = (x.detach() ** 2).sum(1, keepdim=True).sqrt()
    dot = (x.detach() * seed).sum(1, keepdim=True)
    scale = layer.scale.detach()[:, None, None]
    torch.testing.assert_close(x.grad, scale * (seed - x.detach() * dot / length**2) / length)
    torch.testing.assert_close(layer.scale.grad, (x.detach() / length * seed).sum((0, 2, 3)))
    true = torch.autograd.grad((x / (x**2).sum(1, keepdim=True).sqrt() * scale * seed).sum(), x)[0]
    assert (true - x.grad).abs().max() > 0.01, "otherwise this says nothing"
